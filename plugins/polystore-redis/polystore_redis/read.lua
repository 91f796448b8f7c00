-- Records by key.
-- KEYS: what the collection is, its records
-- ARGV: what the collection is thought to be, keys
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
local found = {}
for i = 2, #ARGV do found[i - 1] = redis.call('HGET', KEYS[2], ARGV[i]) end
return found
