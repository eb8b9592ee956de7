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
	effect effect
	// gate is the feature gate that a former flag has become.
	gate string
}

const notInFile = "-"

// effect tells what comes of a setting that was made. The zero effect is that it
// does what it says.
type effect struct {
	later string // the capability that will make it effective
	never string // why it has none
}

func later(capability string) effect { return effect{later: capability} }
func never(why string) effect        { return effect{never: why} }

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

// Effect tells what comes of a setting that does not do what it says: it waits for
// a capability, or it means nothing here.
type Effect struct {
	Name         string
	Later, Never string // one of them is not empty
}

// Effects lists the flags and feature gates that are accepted without effect, but
// for those that etcd ignores too.
func Effects() []Effect {
	var all []Effect
	add := func(name string, e effect) {
		if e.later != "" || e.never != "" {
			all = append(all, Effect{name, e.later, e.never})
		}
	}
	for _, row := range table() {
		if row.group != groupIgnored {
			add("--"+row.name, row.effect)
		}
	}
	for _, g := range gateTable() {
		add("feature gate "+g.name, g.effect)
	}
	return all
}
