-- Add the next entry to the log, if the caller still holds the lease; safe to repeat.
-- ARGV: message, fence, nonce, seq, type, data, lease ms,
--       then for the end: state, seconds to keep the log, the whole text
-- Answers: OK | DUP (already there: success) | GAP seq (Redis lost a tail: send again from here)
--        | FENCED (another owner) | CLOSED state | GONE (log or generation is no more)
local message, fence, nonce, seq, type, data = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]

local g = redis.call('HMGET', generation, 'message', 'fence', 'owner', 'state', 'seq', 'bytes')
if g[1] ~= message then
  return {'GONE'}
end
local last = tonumber(g[5])
if not active(g[4]) then
  -- The very end this caller wrote, sent again because the reply got lost.
  if type == 'e' and g[2] == fence and last == seq then
    return {'DUP'}
  end
  return {'CLOSED', g[4]}
end
if g[2] ~= fence or g[3] ~= nonce then
  return {'FENCED'}
end
if seq <= last then
  return {'DUP'}
end
if seq > last + 1 then
  return {'GAP', last + 1}
end

local bytes = tonumber(g[6])
if type == 'e' then
  local text = ARGV[10]
  if #text ~= bytes then
    text = logged_text()
  end
  if not finish(message, tonumber(fence), tonumber(fence), seq, data, ARGV[8], text, ARGV[9]) then
    return lost(message)
  end
  return {'OK'}
end

if not redis.call('XADD', log, 'NOMKSTREAM', fence .. '-' .. ARGV[4], 't', type, 'd', data) then
  return lost(message)
end
if type == 'd' then
  bytes = bytes + #data
elseif type == 'x' then
  bytes = 0
end
redis.call('HSET', generation, 'seq', ARGV[4], 'bytes', int(bytes), 'lease', int(now_ms() + tonumber(ARGV[7])))
return {'OK'}
