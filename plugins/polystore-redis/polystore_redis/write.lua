-- All writes and checks, or nothing. Nothing else runs meanwhile.
-- KEYS: the counter of tokens; of each part: what its collection is, records, order, places
-- ARGV: of each part: what its collection is thought to be, key, condition, its argument,
--   operation, text, places in indexes
local function state(record)
  if not record then return '', '' end
  local token, stamp = string.match(record, '^(%d+)\n(%d*)\n')
  if token then return token, stamp end
  return redis.sha1hex(record), ''  -- of another program
end

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
  local token, stamp = state(current)
  local holds = condition == 'anything'
    or condition == 'nothing' and not current
    or condition == 'unchanged' and token == argument
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
    answers[i] = string.format('%.0f', redis.call('INCR', KEYS[1]))
    redis.call('HSET', part.records, part.key, answers[i] .. '\n' .. part.text)
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
