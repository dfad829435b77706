-- Finds out whether this Redis would take jobs, and changes nothing but one
-- key of Scout's own, which is gone after a second: LPUSH and SADD have to
-- fail on it, but only because of its type.
--
-- KEYS: that key; the set of queues and any queues' lists, which are named for
-- Redis to check the user's permissions on them
redis.call('PING')
redis.call('EXISTS', KEYS[1])
redis.call('SET', KEYS[1], 1, 'PX', 1000)
for _, command in ipairs({'SADD', 'LPUSH'}) do
  local reply = redis.pcall(command, KEYS[1], '')
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then return reply end
end
return 1
