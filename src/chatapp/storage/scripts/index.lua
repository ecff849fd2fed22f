-- Add a signature to that of a chat; a chat without a place gets one.
-- KEYS: slots, signatures. ARGV: chat, signature (a multiple of four bytes)
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
if string.find(known, '[^%z]') then
  -- Four bytes at a time: one at a time takes three times as long.
  local words = #added / 4
  local format = string.rep('i4', words)
  local ours = {struct.unpack(format, added)}
  local theirs = {struct.unpack(format, known .. string.rep('\0', #added - #known))}
  for place = 1, words do
    ours[place] = bit.bor(ours[place], theirs[place])
  end
  added = struct.pack(format, unpack(ours, 1, words))
end
redis.call('SETRANGE', signatures, string.format('%.0f', from), added)
return {'OK'}
