-- Pushes jobs, each exactly once. It can be sent again after any failure: a job
-- that is pushed is marked, and a job that is marked is not pushed.
--
-- KEYS: the set of queues; then for each job its queue's list and its marker
-- ARGV: the markers' life in ms, 0 for none; '1' to set the markers of duplicates
--       again, because WAIT needs a write whose replication it can wait for, else
--       '0'; then for each job the name of its queue, its payload and its group,
--       '' for none
--
-- Returns for each job 1 (enqueued), 2 (duplicate), 3 (enqueued, but not
-- marked), 4 (held back behind a failed job of its group) or the text of an
-- error that concerns this job alone: the key of its queue has another type. All
-- other errors come from the state of Redis, concern every job, and are raised.
local ttl, renew = tonumber(ARGV[1]), ARGV[2] == '1'
local known, failed, results = {}, {}, {}

-- A job that is pushed but not marked would be pushed again. Redis before 7.0
-- cannot tell beforehand whether the user may set a marker.
if ttl > 0 and #KEYS > 1 and redis.acl_check_cmd and not redis.acl_check_cmd('SET', KEYS[3], 1, 'PX', ttl) then
  return redis.error_reply("NOPERM this user has no permissions to run the 'set' command on the markers of jobs")
end

for i = 1, (#KEYS - 1) / 2 do
  local list, marker = KEYS[2 * i], KEYS[2 * i + 1]
  local queue, payload, group = ARGV[3 * i], ARGV[3 * i + 1], ARGV[3 * i + 2]
  if failed[group] then
    results[i] = 4
  elseif ttl > 0 and redis.call('EXISTS', marker) == 1 then
    if renew then redis.call('SET', marker, 1, 'PX', ttl) end
    results[i] = 2
  else
    if not known[queue] then
      redis.call('SADD', KEYS[1], queue)
      known[queue] = true
    end
    local reply = redis.pcall('LPUSH', list, payload)
    if type(reply) == 'table' and reply.err then
      if not string.find(reply.err, 'WRONGTYPE', 1, true) then return reply end
      results[i] = reply.err
      if group ~= '' then failed[group] = true end
    else
      results[i] = 1
      if ttl > 0 then
        reply = redis.pcall('SET', marker, 1, 'PX', ttl)
        if reply.err then results[i] = 3 end
      end
    end
  end
end
return results
