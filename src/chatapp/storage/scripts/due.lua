-- List the work whose time has come. KEYS: generations:due. ARGV: how many at most, ms from now beyond which
-- nobody lists any work
-- Answers: OK work…
local now = now_ms()
-- The clock has jumped back since.
for _, stray in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], int(now + tonumber(ARGV[2])), '+inf', 'LIMIT', 0, ARGV[1])) do
  redis.call('ZADD', KEYS[1], int(now), stray)
end
local work = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', int(now), 'LIMIT', 0, ARGV[1])
return {'OK', unpack(work)}
