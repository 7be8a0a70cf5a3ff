-- Functions of all scripts that deliver or change something: a request that is sent again changes
-- nothing twice. docs/idempotency.md describes the protocol; the text of a script follows this
-- file.
--
-- A slot identifies one caller. Its reply key holds the last request that was answered, and the
-- reply: "sequence.attempt length length ...\n" and the words of the reply, one after the other. A
-- call has a sequence number; each request of the call has an attempt number of its own, and only
-- the client's own retries send one request twice.
--
--   recorded request      incoming request     state        what a script does
--   none, or older call   any                  'fresh'      the work
--   the same request      the same             'duplicate'  nothing; returns the recorded reply
--   same call, earlier    a later attempt      'retry'      completes what the earlier one began
--   later call, attempt   an earlier one       'stale'      nothing; no caller reads the reply

-- Return the words of a recorded reply; their lengths begin at *start* in *record*.
local function unpacked(record, start)
  local ends = string.find(record, '\n', start, true)
  local words, place = {}, ends + 1
  for length in string.gmatch(string.sub(record, start, ends - 1), '%d+') do
    words[#words + 1] = string.sub(record, place, place + length - 1)
    place = place + length
  end
  return words
end

-- Return the state of the request *id* of the slot with *reply_key*, and the recorded words of its
-- call.
local function recall(reply_key, id)
  local record = redis.call('GET', reply_key)
  if not record then return 'fresh', {} end
  local sequence, attempt, start = string.match(record, '^(%d+)%.(%d+) ?()[%d ]*\n')
  if not sequence then return 'fresh', {} end  -- another program's value
  local this_sequence, this_attempt = string.match(id, '^(%d+)%.(%d+)$')
  local later_call = tonumber(this_sequence) - tonumber(sequence)
  local later = later_call == 0 and tonumber(this_attempt) - tonumber(attempt) or later_call
  if later < 0 then return 'stale', {} end
  if later_call > 0 then return 'fresh', {} end
  return later == 0 and 'duplicate' or 'retry', unpacked(record, start)
end

-- Record that the reply to the request *id* was *words*. An empty reply is recorded too, so that a
-- copy of the request that arrives later changes nothing.
local function store_reply(reply_key, id, words, keep)
  local lengths = {}
  for i = 1, #words do lengths[i] = #words[i] end
  local head = id .. ' ' .. table.concat(lengths, ' ') .. '\n'
  redis.call('SET', reply_key, head .. table.concat(words), 'PX', keep)
end
