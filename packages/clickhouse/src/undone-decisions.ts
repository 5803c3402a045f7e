/**
 * Ids of the decisions of a site that are not in force, as `decisionsInForce` of the core finds them: from the newest undo to the oldest, since one that
 * was itself undone takes nothing back. A subquery of one array, worked out once for a whole query; it takes the parameter `{site:String}`.
 */
export const undoneDecisions = `(
  SELECT arrayFold((gone, undo) -> if(has(gone, undo.1), gone, arrayPushBack(gone, undo.2)),
    arrayMap(undo -> (undo.2, undo.3), arrayReverseSort(groupArray((at, id, undoes)))), []::Array(String))
  FROM identity_decision WHERE site = {site:String} AND action = 'undo')`;
