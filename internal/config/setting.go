package config

import "strings"

// group is a section of the help text.
type group string

// The groups, in the order of the help text.
const (
	groupGeneral    group = "General"
	groupMember     group = "Member"
	groupClustering group = "Clustering"
	groupSecurity   group = "Security"
	groupAuth       group = "Auth"
	groupProfiling  group = "Profiling and Monitoring"
	groupLogging    group = "Logging"
	groupTracing    group = "Distributed tracing"
	groupFeatures   group = "Features"
	groupBackup     group = "Backup"
	groupUnsafe     group = "Unsafe feature"
	// groupFormer holds what only former versions of etcd had, and groupIgnored what
	// even they ignored.
	groupFormer  group = "Former flags"
	groupIgnored group = "Ignored flags"
)

func groups() []group {
	return []group{
		groupMember, groupClustering, groupSecurity, groupAuth, groupProfiling, groupLogging,
		groupTracing, groupFeatures, groupBackup, groupFormer, groupUnsafe,
	}
}

// setting is a row of the table.
type setting struct {
	// name is that of the flag; the environment variable follows from it.
	name  string
	group group
	def   string
	// to says where the value goes.
	to   func(*draft) value
	help string
	// file is the key in a configuration file, with dots between the levels: name
	// if it is "", none if it is notInFile.
	file string
	// former are names that older versions used.
	former []string
	// idle says why it does nothing here, "" if it does what it says.
	idle string
	// gate is the feature gate that a former flag has become.
	gate string
}

const notInFile = "-"

// envPrefix is the beginning of the names of all environment variables.
const envPrefix = "ETCD_"

// envKey returns the environment variable of a flag.
func envKey(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// fileKey returns the key in a configuration file, "" if there is none.
func (s *setting) fileKey() string {
	switch s.file {
	case "":
		return s.name
	case notInFile:
		return ""
	default:
		return s.file
	}
}

// table returns all settings, by groups.
func table() []setting {
	var all []setting
	for _, rows := range [][]setting{
		generalRows(), memberRows(), admissionRows(), storageRows(), clusteringRows(), discoveryRows(), securityRows(), authRows(),
		observationRows(), featureRows(), backupRows(), formerRows(), unsafeRows(), ignoredRows(),
	} {
		all = append(all, rows...)
	}
	return all
}
