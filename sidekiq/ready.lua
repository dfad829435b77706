-- Finds out whether this Redis would take jobs. It changes only a key of Scout's
-- own, which expires after a second. SADD and LPUSH must fail on this key because
-- of its type and for no other reason.
--
-- KEYS: that key; the set of queues and the queues' lists, so that Redis checks
--       the user's permissions for them
redis.call('PING')
redis.call('EXISTS', KEYS[1])
redis.call('SET', KEYS[1], 1, 'PX', 1000)
for _, command in ipairs({'SADD', 'LPUSH'}) do
  local reply = redis.pcall(command, KEYS[1], '')
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then return reply end
end
return 1
