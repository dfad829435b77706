-- Pushes jobs, each exactly once. It can be sent again after any failure:
-- what is pushed is marked, and what is marked is not pushed.
--
-- KEYS: the set of queues; then for each job its queue's list and its marker
-- ARGV: the markers' life in ms, 0 for none; then for each job the name of its
--       queue, its payload and its group, '' for none
--
-- Returns for each job 1 (enqueued), 2 (duplicate), 3 (enqueued, but not
-- marked), 4 (held back behind a failed job of its group) or the text of an
-- error that is the job's alone. Any other error is raised.
local ttl = tonumber(ARGV[1])
local known, failed, results = {}, {}, {}

local function push(list, queue, payload)
  if not known[queue] then
    local reply = redis.pcall('SADD', KEYS[1], queue)
    if type(reply) == 'table' and reply.err then return reply end
    known[queue] = true
  end
  return redis.pcall('LPUSH', list, payload)
end

for i = 1, (#KEYS - 1) / 2 do
  local list, marker = KEYS[2 * i], KEYS[2 * i + 1]
  local queue, payload, group = ARGV[3 * i - 1], ARGV[3 * i], ARGV[3 * i + 1]
  if failed[group] then
    results[i] = 4
  elseif ttl > 0 and redis.call('EXISTS', marker) == 1 then
    results[i] = 2
  else
    local reply = push(list, queue, payload)
    if type(reply) == 'table' and reply.err then
      -- Only a key of another type is one job's trouble. All else is Redis's
      -- state and would meet every job.
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
