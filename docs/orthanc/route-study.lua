-- Send every study that has been complete for StableAge seconds to the AI node.
-- When the report comes back, the study becomes stable again and is sent once more:
-- the node recognises what it has, and its own report, and does nothing.
function OnStableStudy(studyId, tags, metadata)
  -- SendToModality takes single instances only; this job takes a whole study.
  local job = { Resources = { studyId }, Synchronous = false }
  RestApiPost('/modalities/ainode/store', DumpJson(job), true)
end
