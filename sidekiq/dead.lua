-- Adds a rejected message to Sidekiq's dead set: all of its entries that are not
-- known yet, or none. It can be sent again after any failure.
--
-- KEYS: the dead set; then for each entry the marker of its job and its own marker
-- ARGV: the markers' life in ms, 0 for none; '1' to set the markers of duplicates
--       again, as in push.lua; the number of entries from which on the dead set
--       takes no more; the score; then the payload of each entry
--
-- Returns 1 (added), 2 (duplicate), 3 (added, but not all entries are marked) or
-- 4 (the dead set is full). Errors are raised as Redis returns them.
local ttl, new = tonumber(ARGV[1]), {}

for i = 1, (#KEYS - 1) / 2 do
  local known = nil
  for _, marker in ipairs({KEYS[2 * i], KEYS[2 * i + 1]}) do
    if redis.call('EXISTS', marker) == 1 then known = marker end
  end
  if not known then
    new[#new + 1] = i
  elseif ARGV[2] == '1' then
    redis.call('SET', known, 1, 'PX', ttl)
  end
end
if #new == 0 then return 2 end
local size = redis.pcall('ZCARD', KEYS[1])
if type(size) == 'table' then return size end
if size >= tonumber(ARGV[3]) then return 4 end

local result = 1
for _, i in ipairs(new) do
  local reply = redis.pcall('ZADD', KEYS[1], ARGV[4], ARGV[4 + i])
  if type(reply) == 'table' then return reply end
  if ttl > 0 then
    reply = redis.pcall('SET', KEYS[2 * i + 1], 1, 'PX', ttl)
    if reply.err then result = 3 end
  end
end
return result
