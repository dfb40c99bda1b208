-- Send only series of images, each when it is complete; a report that comes back is
-- a series of its own (SR) and causes no traffic.
local wanted = { CR = true, DX = true, CT = true, MR = true }

function OnStableSeries(seriesId, tags, metadata)
  if wanted[tags['Modality']] then
    -- SendToModality takes single instances only; this job takes a whole series.
    local job = { Resources = { seriesId }, Synchronous = false }
    RestApiPost('/modalities/ainode/store', DumpJson(job), true)
  end
end
