-- Keys and records of a part of the order.
-- KEYS: what the collection is, its records, their order
-- ARGV: what the collection is thought to be, command, where it begins and ends, limit
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
local reply = {}
local found = redis.call(ARGV[2], KEYS[3], ARGV[3], ARGV[4], 'LIMIT', 0, ARGV[5])
for i, member in ipairs(found) do
  local length = string.match(member, '%z(%d+)$')
  local key = length and string.sub(member, -length - #length - 1, -#length - 2) or member
  reply[2 * i - 1], reply[2 * i] = key, redis.call('HGET', KEYS[2], key)
end
return reply
