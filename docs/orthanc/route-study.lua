-- Send every study that has been complete for StableAge seconds to the AI node.
-- When the report comes back, the study becomes stable again and is sent once more:
-- the node recognises what it has, and its own report, and does nothing.
function OnStableStudy(studyId, tags, metadata)
  SendToModality(studyId, 'ainode')
end
