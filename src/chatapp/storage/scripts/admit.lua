-- Let a person ask, unless that is too often, or too much at once. A call that is repeated counts as another question.
-- KEYS: running, pace. ARGV: chat, chats at most, ms between two questions in the long run, questions at once
-- Answers: OK | SOON ms (too often) | FULL (too many, as far as is noted: some may have ended)
local running, pace, now = KEYS[1], KEYS[2], now_ms()
local step, room = tonumber(ARGV[3]), ARGV[3] * ARGV[4]
-- Where all questions so far would stand, had they come at that pace. (No further ahead: the clock may jump back.)
local filled = math.min(math.max(tonumber(redis.call('GET', pace) or now), now), now + room) + step
if filled > now + room then
  return {'SOON', filled - now - room}
end
if not redis.call('ZSCORE', running, ARGV[1]) and redis.call('ZCARD', running) >= tonumber(ARGV[2]) then
  return {'FULL'}
end
redis.call('ZADD', running, int(now), ARGV[1])
-- No answer takes longer; what is forgotten is no more than where to look.
redis.call('EXPIRE', running, 7200)
redis.call('SET', pace, int(filled), 'PX', int(room))
return {'OK'}
