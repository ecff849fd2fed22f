-- Take the lease of a generation that waits, or whose owner let its lease run out.
-- ARGV: message, nonce of the new owner, lease ms, attempts without progress, outcome if those are used up,
--       seconds to keep an ended log, calls of the provider in all (left out: any number)
-- Answers: OK fence seq | HELD ms left | CLOSED state ms ago | GONE
local message, nonce, lease, attempts = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local g = redis.call('HMGET', generation, 'message', 'state', 'lease', 'fence', 'seq', 'tries', 'progress',
  'owner', 'bytes', 'calls', 'up')
if not g[1] then
  -- The generation was evicted or deleted. Its answer still gets an end, with the text that the log has.
  local saved = redis.call('HMGET', messages, message, message .. ':end')
  if not saved[1] or saved[2] then
    return {'GONE'}
  end
  local entries = redis.call('XRANGE', log, '-', '+')
  local fence, seq = string.match(#entries > 0 and entries[#entries][1] or '0-0', '(%d+)-(%d+)')
  redis.call('HSET', generation, 'message', message, 'fence', fence)
  local text, reasoning = logged_text()
  if not finish(message, tonumber(fence), next_fence(fence), seq + 1, outcome_lost, 'interrupted', text, ARGV[6],
    reasoning) then
    return lost(message)
  end
  return {'CLOSED', 'interrupted', 0}
end
if g[1] ~= message then
  return {'GONE'}
end
local now = now_ms()
if not active(g[2]) then
  return {'CLOSED', g[2], math.abs(now - tonumber(g[3]))}
end
local left = tonumber(g[3]) - now
if g[2] == 'running' and g[8] == nonce then
  -- The same claim again: its reply got lost on the way.
  return {'OK', g[4], g[5]}
end
-- A lease that ends later than any that began now: the clock has jumped back, and who lives renews it at once.
if g[2] == 'running' and left > 0 and left <= 2 * lease then
  return {'HELD', left}
end

local fence, seq = next_fence(g[4]), tonumber(g[5]) + 1
-- Progress is text, more of it than there ever was: claims and resets are entries too.
local tries, progress, calls = tonumber(g[6]), tonumber(g[7]), tonumber(g[10])
if tonumber(g[9]) > progress then
  tries, progress = 0, tonumber(g[9])
end
-- To open the provider's stream again is no new call: such an answer may be taken over for ever.
local reopened = g[11] ~= ''
if tries >= attempts or (calls >= (tonumber(ARGV[7]) or math.huge) and not reopened) then
  local text, reasoning = logged_text()
  if not finish(message, tonumber(g[4]), fence, seq, ARGV[5], 'interrupted', text, ARGV[6], reasoning) then
    return lost(message)
  end
  return {'CLOSED', 'interrupted', 0}
end

if not redis.call('XADD', log, 'NOMKSTREAM', int(fence) .. '-' .. int(seq), 't', 'c', 'd', '',
  'p', g[4] .. '-' .. g[5]) then
  return lost(message)
end
redis.call('HSET', generation, 'state', 'running', 'owner', nonce, 'lease', int(now + lease),
  'fence', int(fence), 'seq', int(seq), 'tries', tries + 1, 'progress', progress,
  'calls', reopened and calls or calls + 1)
return {'OK', int(fence), int(seq)}
