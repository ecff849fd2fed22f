-- Add the next entries to logs, one or more, each if the caller still holds the lease; safe to repeat.
-- Without the prelude and with as few calls as can be: this runs for every few tokens.
-- KEYS: generation and log of every entry. ARGV: for every entry the nonce of the owner, seq, type, data, and
-- where the provider offers one, the place in its own stream up to which the log has its text then, else ''
-- Answers: OK, and for each entry that was not added its number (from 1), a verdict, and a detail:
--          DUP (already there: success) | GAP seq (Redis lost a tail: send again from here)
--        | FENCED (another owner) | CLOSED (ended) | GONE (log or generation is no more)
--        | WRONGTYPE (what is there is not what this program puts there)
local answer = {'OK'}
local function refuse(number, verdict, detail)
  answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = number, verdict, detail or ''
end

for number = 1, #KEYS / 2 do
  local generation, log, at = KEYS[2 * number - 1], KEYS[2 * number], 5 * number - 4
  local g = redis.pcall('HMGET', generation, 'owner', 'seq', 'fence', 'bytes')
  local seq, last, size = tonumber(ARGV[at + 1]), tonumber(g[2]), tonumber(g[4])
  if g.err or (g[1] and not (last and size and g[3])) then
    -- One damaged answer must not keep the others from being written.
    refuse(number, 'WRONGTYPE')
  elseif not g[1] then
    refuse(number, 'GONE')
  elseif g[1] ~= ARGV[at] then
    -- Who ends a generation, or gives it back, leaves it without an owner.
    refuse(number, g[1] == '' and 'CLOSED' or 'FENCED')
  elseif seq > last + 1 then
    refuse(number, 'GAP', last + 1)
  elseif seq <= last then
    refuse(number, 'DUP')
  else
    local kind, data, place = ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
    local id = redis.pcall('XADD', log, 'NOMKSTREAM', g[3] .. '-' .. ARGV[at + 1], 't', kind, 'd', data)
    if not id then
      refuse(number, 'GONE')
    elseif type(id) == 'table' then
      local code = string.match(id.err, '^%u+')
      if code ~= 'WRONGTYPE' and code ~= 'ERR' then
        -- Nothing can be written now, in none of the logs.
        return id
      end
      refuse(number, 'WRONGTYPE')
    else
      -- Reasoning ('r') is no part of the text.
      local bytes = kind == 'x' and 0 or kind == 'r' and size or size + #data
      if place == '' then
        redis.call('HSET', generation, 'seq', ARGV[at + 1], 'bytes', bytes)
      else
        redis.call('HSET', generation, 'seq', ARGV[at + 1], 'bytes', bytes, 'up', place)
      end
    end
  end
end
return answer
