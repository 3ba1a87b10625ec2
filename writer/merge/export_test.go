package merge

// RowGroupsOfAllFiles has the row groups of the smallest files looked at, until the returned function is called.
func RowGroupsOfAllFiles() (undo func()) {
	was := rowGroupsFrom
	rowGroupsFrom = 0
	return func() { rowGroupsFrom = was }
}
