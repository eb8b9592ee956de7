// Package utl is etcdutl: what is done with backups, and with the data directories of
// stopped members, one file a command.
//
// etcdctl has two of the commands, too, as it had before etcdutl came: Restore and
// Status are shared. Env holds what a command may touch besides its arguments and
// files. Errors end in an exit code of package cli.
package utl
