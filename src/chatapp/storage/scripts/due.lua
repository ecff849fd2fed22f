-- List the work whose time has come. KEYS: generations:due. ARGV: how many at most
-- Answers: OK work…
local work = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', int(now_ms()), 'LIMIT', 0, ARGV[1])
return {'OK', unpack(work)}
