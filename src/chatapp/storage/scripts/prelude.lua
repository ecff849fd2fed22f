-- Shared by all scripts (put in front of each). Keys always come in this order, those a script does not
-- use left out at the end:
local generation, log, messages, chat, requests = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

-- Redis' own clock: no host's clock decides anything.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Lua numbers are doubles, and `..` would print a fence as 1.79e+12.
local function int(number)
  return string.format('%.0f', number)
end

-- Higher than every fence before it, also after Redis lost the last of them: see docs/protocol.md.
local function next_fence(old)
  return math.max((tonumber(old) or 0) + 1, now_ms())
end

local function active(state)
  return state == 'queued' or state == 'running'
end

-- The answer's text as the log has it, and the reasoning: milliseconds, space, text; empty where there is none.
local function logged_text()
  local parts, thoughts, milliseconds = {}, {}, ''
  for _, entry in ipairs(redis.call('XRANGE', log, '-', '+')) do
    local fields = entry[2]
    if fields[2] == 'd' then
      parts[#parts + 1] = fields[4]
    elseif fields[2] == 'r' then
      milliseconds, thoughts[#thoughts + 1] = string.match(fields[4], '^(%d+ )(.*)$')
    elseif fields[2] == 'x' then
      parts, thoughts, milliseconds = {}, {}, ''
    end
  end
  return table.concat(parts), milliseconds .. table.concat(thoughts)
end

-- Note that a message has this child ('' stands for the parent of first questions).
local function add_child(parent, child)
  local children = redis.call('HGET', messages, parent .. ':children') or ''
  if not string.find(children, child, 1, true) then
    redis.call('HSET', messages, parent .. ':children', (children == '' and '' or children .. ' ') .. child)
  end
end

local function parent_of(head)
  return string.match(head, '"parent_id":"(%x+)"') or ''
end

-- What stands against an answer that is to begin, or to go on: a reply, or nil. With it the chat's owner and head, and
-- the fence of the generation before. `create`: the chat need not be there.
local function refusal(owner, request, fingerprint, create)
  local known = redis.call('HMGET', chat, 'owner', 'head', 'deleted_at')
  if known[3] or (known[1] ~= owner and (known[1] or not create)) then
    return {'GONE'}
  end
  local seen = redis.call('HGET', requests, request)
  if seen then
    -- As it was written then: see `keys.requests`.
    local print, first, second = string.match(seen, '^(%S+) (%S+) (%S+)$')
    return print == fingerprint and {'DUP', first, second} or {'MISMATCH'}
  end
  local current = redis.call('HMGET', generation, 'state', 'message', 'fence')
  if active(current[1]) then
    return {'BUSY', current[2]}
  end
  return nil, known, current[3]
end

-- Whoever leaves a branch must be able to find it again, also where an older version noted no children.
local function keep_branch(id)
  local head = redis.call('HGET', messages, id)
  while head do
    local parent = parent_of(head)
    add_child(parent, id)
    id = parent
    head = redis.call('HGET', messages, id)
  end
end

-- The one way a generation ends: entry, saved message, freed chat, all or nothing.
-- It needs no lease any more: that field tells when it was (see `claim`). `before` is the fence of the entry before
-- it; an entry that raises the fence names that entry (`p`), because a reader may have read others in its place,
-- which Redis lost. Answers the end's id, or nil when the log is gone (it is never silently made anew).
local function finish(message, before, fence, seq, outcome, state, text, keep_seconds, reasoning)
  local last = int(before) .. '-' .. int(seq - 1)
  local fields = {'t', 'e', 'd', outcome}
  if fence > before then
    fields[5], fields[6] = 'p', last
  end
  local id = redis.call('XADD', log, 'NOMKSTREAM', int(fence) .. '-' .. int(seq), unpack(fields))
  if not id then
    return nil
  end
  local saved = {message .. ':text', text, message .. ':end', outcome, message .. ':last', last .. ' ' .. id}
  if reasoning ~= '' then
    saved[7], saved[8] = message .. ':reasoning', reasoning
  end
  local times = redis.call('HGET', messages, message .. ':times')
  if times then
    saved[#saved + 1] = message .. ':times'
    saved[#saved + 1] = string.match(times, '^%d+') .. ' ' .. int(now_ms())
  end
  redis.call('HSET', messages, unpack(saved))
  redis.call('HSET', generation, 'state', state, 'fence', int(fence), 'seq', int(seq), 'owner', '',
    'lease', int(now_ms()))
  redis.call('EXPIRE', log, keep_seconds)
  return id
end

local outcome_lost = '{"status":"interrupted","error":{"code":"log_lost",'
  .. '"message":"The storage lost this answer before it was saved."}}'

-- The log of an unfinished answer was evicted or deleted: the answer still gets its end, and keeps what was
-- saved of it when it last went on.
local function lost(message)
  redis.call('HSETNX', messages, message .. ':text', '')
  redis.call('HSET', messages, message .. ':end', outcome_lost)
  redis.call('HSET', generation, 'state', 'interrupted', 'owner', '', 'lease', int(now_ms()))
  return {'GONE'}
end
