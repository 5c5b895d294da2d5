# Data is shared with groups of the company, not with single people or everybody.
package pipewright.sharing

deny contains {"msg": msg, "key": sprintf("/readers/%d", [index])} if {
	some index, reader in input.readers
	not startswith(reader, "group:")
	not startswith(reader, "serviceAccount:")
	msg := sprintf("`%s` may not read: share with a group", [reader])
}

warn contains {"msg": msg, "key": sprintf("/readers/%d", [index])} if {
	some index, reader in input.readers
	startswith(reader, "group:")
	not endswith(reader, "@acme.example")
	msg := sprintf("`%s` is outside of acme.example", [reader])
}
