-- Long work is done in numbered batches. What a batch did is kept until the next one, together with what it changed: a batch
-- that is asked for again, because its answer was lost, is not done again. A batch that comes too late, because somebody
-- else has gone on meanwhile, does nothing.
--
-- USES _names

local BATCH_KEPT_MS = 86400000

-- The reply of this batch or of a later one, of which the first element is the number; nil if it is still to be done.
--
-- operation: the id of the long work, '' for what is not part of any
local function reply_of_batch(operation, number)
  local kept = operation ~= '' and call('GET', P .. 'operation:' .. operation)
  if not kept then
    return nil
  end
  local reply = cmsgpack.unpack(kept)
  return reply[1] >= number and reply or nil
end

local function keep_batch(operation, reply)
  if operation ~= '' then
    call('SET', P .. 'operation:' .. operation, cmsgpack.pack(reply), 'PX', BATCH_KEPT_MS)
  end
  return reply
end
