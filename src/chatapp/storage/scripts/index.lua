-- Add a signature to that of a chat; a chat without a place gets one.
-- KEYS: slots, signatures. ARGV: chat, signature
-- Answers: OK
local slots, signatures, chat, added = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local slot = redis.call('HGET', slots, chat)
if not slot then
  local free = redis.call('HGET', slots, 'free') or ''
  local first, rest = string.match(free, '^(%d+) (.*)$')
  if first then
    slot = first
    redis.call('HSET', slots, 'free', rest)
  else
    slot = string.format('%.0f', redis.call('HINCRBY', slots, 'next', 1) - 1)
  end
  redis.call('HSET', slots, chat, slot, slot, chat)
end
local from = slot * #added
local known = redis.call('GETRANGE', signatures, string.format('%.0f', from),
  string.format('%.0f', from + #added - 1))
local bytes = {string.byte(added, 1, -1)}
for place, byte in ipairs({string.byte(known, 1, -1)}) do
  bytes[place] = bit.bor(bytes[place], byte)
end
redis.call('SETRANGE', signatures, string.format('%.0f', from), string.char(unpack(bytes)))
return {'OK'}
