/** True of events that no erased person has sent: they are there for a while after nobody may see them. Nobody (atom 0) is not erased. */
export const notErased = "(atom = 0 OR person(atom) != 0)";
