"""What the server does as one step. A script runs alone: nothing comes between its commands.

A record is one text: ``token LF stamp LF JSON``, its stamp as 20 digits or empty. A text of another
form is a record of another program; its token is its SHA-1.
"""

from __future__ import annotations

from hashlib import sha1

_COMMON = """
local function token_stamp(text)
  local token, stamp = string.match(text, '^(%d+)\\n(%d*)\\n')
  if token then return token, stamp end
  return redis.sha1hex(text), ''
end
"""

WRITE = (
    _COMMON
    + """
-- KEYS: the counter of tokens; of each part: records, order, what the collection is, then places
--   and order of each index
-- ARGV: for each part: indexes, what its collection is thought to be, key, condition, its argument,
--   operation, stamp, JSON, entries
local parts, key_at, arg_at = {}, 2, 1
while arg_at <= #ARGV do
  local indexes = tonumber(ARGV[arg_at])
  if redis.call('GET', KEYS[key_at + 2]) ~= ARGV[arg_at + 1] then return {'changed'} end
  parts[#parts + 1] = {indexes, key_at, arg_at}
  key_at = key_at + 3 + 2 * indexes
  arg_at = arg_at + 8 + indexes
end
local refused, answers = false, {}
for i, part in ipairs(parts) do
  local key, condition, argument = ARGV[part[3] + 2], ARGV[part[3] + 3], ARGV[part[3] + 4]
  local current = redis.call('HGET', KEYS[part[2]], key)
  local holds = true
  if condition == 'nothing' then
    holds = not current
  elseif condition == 'unchanged' then
    holds = current and token_stamp(current) == argument
  elseif condition == 'older' and current then
    local _, stamp = token_stamp(current)
    holds = stamp == '' or stamp < argument
  end
  if holds then answers[i] = 'ok' else
    refused = true
    answers[i] = current or false
  end
end
if refused then return {'refused', answers} end
for i, part in ipairs(parts) do
  local indexes, k, a = part[1], part[2], part[3]
  local key, operation = ARGV[a + 2], ARGV[a + 5]
  if operation ~= 'check' then
    if operation == 'delete' then
      redis.call('HDEL', KEYS[k], key)
      redis.call('ZREM', KEYS[k + 1], key)
      answers[i] = ''
    else
      local token = redis.call('INCR', KEYS[1])
      redis.call('HSET', KEYS[k], key, token .. '\\n' .. ARGV[a + 6] .. '\\n' .. ARGV[a + 7])
      redis.call('ZADD', KEYS[k + 1], 0, key)
      answers[i] = tostring(token)
    end
    for n = 1, indexes do
      local places, order, entry = KEYS[k + 1 + 2 * n], KEYS[k + 2 + 2 * n], ARGV[a + 7 + n]
      local old = redis.call('HGET', places, key)
      if old and old ~= entry then redis.call('ZREM', order, old) end
      if entry == '' then
        redis.call('HDEL', places, key)
      else
        redis.call('HSET', places, key, entry)
        redis.call('ZADD', order, 0, entry)
      end
    end
  end
end
return {'done', answers}
"""
)

READ = """
-- KEYS: records, what the collection is.  ARGV: keys
if redis.call('EXISTS', KEYS[2]) == 0 then return false end
local found = {}
for i, key in ipairs(ARGV) do found[i] = redis.call('HGET', KEYS[1], key) end
return found
"""

PAGE = """
-- KEYS: records, order, what the collection is
-- ARGV: what that is thought to be, low, high, limit, 'desc' or '', 'entry' or ''
if redis.call('GET', KEYS[3]) ~= ARGV[1] then return false end
local found
if ARGV[5] == 'desc' then
  found = redis.call('ZREVRANGEBYLEX', KEYS[2], ARGV[3], ARGV[2], 'LIMIT', 0, ARGV[4])
else
  found = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
end
local reply = {}
for i, member in ipairs(found) do
  local key = member
  if ARGV[6] == 'entry' then
    local length = tonumber(string.sub(member, -8))
    key = string.sub(member, -8 - length, -9)
  end
  reply[2 * i - 1] = key
  reply[2 * i] = redis.call('HGET', KEYS[1], key)
end
return reply
"""


def digest(script: str) -> str:
    """The name that the server knows a script by."""
    return sha1(script.encode(), usedforsecurity=False).hexdigest()
