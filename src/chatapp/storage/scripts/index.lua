-- Add bits to a chat's signature; a chat without a place gets one.
-- KEYS: slots, signatures. ARGV: chat, bytes of a signature, bits…
-- Answers: OK
local slots, signatures, chat, bytes = KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2])
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
  -- Whole from the beginning: readers count on the string's length.
  redis.call('SETRANGE', signatures, string.format('%.0f', slot * bytes), string.rep('\0', bytes))
end
local base, commands = slot * bytes * 8, {}
for number = 3, #ARGV do
  commands[#commands + 1] = 'SET'
  commands[#commands + 1] = 'u1'
  commands[#commands + 1] = string.format('%.0f', base + ARGV[number])
  commands[#commands + 1] = '1'
  -- Lua takes no more than some thousand values at once.
  if #commands > 4000 then
    redis.call('BITFIELD', signatures, unpack(commands))
    commands = {}
  end
end
if #commands > 0 then
  redis.call('BITFIELD', signatures, unpack(commands))
end
return {'OK'}
