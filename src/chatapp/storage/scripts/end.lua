-- End the answer: entry, saved message, freed chat; if the caller still holds the lease; safe to repeat.
-- ARGV: message, fence, nonce, seq, outcome, state, seconds to keep the log, the whole text,
--       the reasoning before it (milliseconds, space, text; empty where there is none)
-- Answers: OK | DUP (already there: success) | GAP seq | FENCED | CLOSED state | GONE
local message, fence, nonce, seq = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

local g = redis.call('HMGET', generation, 'message', 'fence', 'owner', 'state', 'seq', 'bytes')
if g[1] ~= message then
  return {'GONE'}
end
local last = tonumber(g[5])
if not active(g[4]) then
  -- The very end this caller wrote, sent again because the reply got lost.
  if g[2] == fence and last == seq then
    return {'DUP'}
  end
  return {'CLOSED', g[4]}
end
if g[2] ~= fence or g[3] ~= nonce then
  return {'FENCED'}
end
if seq > last + 1 then
  return {'GAP', last + 1}
end
local text, reasoning = ARGV[8], ARGV[9] or ''
if #text ~= tonumber(g[6]) then
  text, reasoning = logged_text()
end
if not finish(message, tonumber(fence), tonumber(fence), seq, ARGV[5], ARGV[6], text, ARGV[7], reasoning) then
  return lost(message)
end
return {'OK'}
