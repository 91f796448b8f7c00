-- All writes and checks, or nothing. Nothing else runs meanwhile.
-- A token is the SHA-1 of a record, in which the number of its write is told.
-- KEYS: the counter of writes; of each part: what its collection is, records, order, places
-- ARGV: of each part: what its collection is thought to be, key, condition, its argument,
--   operation, text, places in indexes
local parts, answers, refused = {}, {}, false
for i = 1, #ARGV / 7 do
  local k, a = 4 * i - 2, 7 * i - 6
  if redis.call('GET', KEYS[k]) ~= ARGV[a] then return false end
  local part = {
    records = KEYS[k + 1], order = KEYS[k + 2], places = KEYS[k + 3], key = ARGV[a + 1],
    operation = ARGV[a + 4], text = ARGV[a + 5], members = ARGV[a + 6],
  }
  local condition, argument = ARGV[a + 2], ARGV[a + 3]
  local current = redis.call('HGET', part.records, part.key)
  local stamp = current and string.match(current, '^%d+\n(%d*)\n') or ''
  local holds = condition == 'anything'
    or condition == 'nothing' and not current
    or condition == 'unchanged' and current and redis.sha1hex(current) == argument
    or condition == 'older' and stamp < argument
  parts[i], answers[i], refused = part, holds and 'ok' or current or false, refused or not holds
end
if refused then return {'refused', answers} end

for i, part in ipairs(parts) do
  if part.operation == 'delete' then
    redis.call('HDEL', part.records, part.key)
    redis.call('ZREM', part.order, part.key)
    answers[i] = ''
  elseif part.operation == 'put' then
    local record = string.format('%.0f', redis.call('INCR', KEYS[1])) .. '\n' .. part.text
    redis.call('HSET', part.records, part.key, record)
    answers[i] = redis.sha1hex(record)
    redis.call('ZADD', part.order, 0, part.key)
  end
  local old = redis.call('HGET', part.places, part.key) or '[]'
  if part.operation ~= 'check' and old ~= part.members then
    redis.call('HDEL', part.places, part.key)
    for _, gone in ipairs(cjson.decode(old)) do redis.call('ZREM', part.order, gone) end
    for _, new in ipairs(cjson.decode(part.members)) do redis.call('ZADD', part.order, 0, new) end
    if part.members ~= '[]' then redis.call('HSET', part.places, part.key, part.members) end
  end
end
return {'done', answers}
