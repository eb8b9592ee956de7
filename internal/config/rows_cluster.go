package config

func clusteringRows() []setting {
	return []setting{
		{name: "initial-advertise-peer-urls", group: groupClustering, def: defaultPeerURL,
			to:   func(d *draft) value { return urls{&d.Advertise.Peer, "initial-advertise-peer-urls"} },
			help: "URLs under which the other members find this one."},
		{name: "initial-cluster", group: groupClustering, def: defaultName + "=" + defaultPeerURL,
			to: func(d *draft) value { return str(&d.Bootstrap.Cluster) },
			help: "The members of the cluster at the first start: name=URL with commas between them.\n" +
				"A name with several URLs is repeated. This member alone if it is not set."},
		{name: "initial-cluster-state", group: groupClustering, def: "new",
			to: func(d *draft) value { return choice{&d.clusterState, []string{"new", "existing"}} },
			help: "new to found a cluster, existing to join one that runs.\n" +
				"Ignored once this member has data."},
		{name: "initial-cluster-token", group: groupClustering, def: "etcd-cluster",
			to:   func(d *draft) value { return str(&d.Bootstrap.Token) },
			help: "Goes into the IDs of members and cluster, so that clusters with equal URLs can be told apart."},
		{name: "advertise-client-urls", group: groupClustering, def: defaultClientURL,
			to:   func(d *draft) value { return urls{&d.Advertise.Client, "advertise-peer-urls"} }, // the name etcd prints
			help: "URLs under which clients find this member; they are in the list of members."},
		{name: "discovery-fallback", group: groupClustering, def: "exit", file: notInFile,
			to:   func(d *draft) value { return choice{&d.discoveryFallback, []string{"exit", "proxy"}} },
			help: "What to do when discovery fails. Only exit is left."},
		{name: "discovery-srv", group: groupClustering,
			to:   func(d *draft) value { return str(&d.Bootstrap.SRV) },
			help: "DNS domain whose SRV records name the members of the initial cluster."},
		{name: "discovery-srv-name", group: groupClustering,
			to:   func(d *draft) value { return str(&d.Bootstrap.SRVName) },
			help: "Suffix of the service name that is looked up in that domain."},
		{name: "strict-reconfig-check", group: groupClustering, def: "true",
			to:   func(d *draft) value { return boolean(&d.Raft.StrictReconfig) },
			help: "Refuse changes of members that would lose the quorum."},
		{name: "pre-vote", group: groupClustering, def: "true",
			to:   func(d *draft) value { return boolean(&d.Raft.PreVote) },
			help: "Ask for votes on trial first, so that a member that comes back does not disturb the leader."},
		{name: "auto-compaction-retention", group: groupClustering, def: "0",
			to:   func(d *draft) value { return str(&d.compactionRetained) },
			help: "How much history to keep: hours or a duration, or revisions. 0 compacts nothing."},
		{name: "auto-compaction-mode", group: groupClustering, def: "periodic",
			to:   func(d *draft) value { return str(&d.compactionMode) },
			help: "What the retention counts: periodic for time (hours if no unit is given), revision for revisions."},
		{name: "v2-deprecation", group: groupClustering, def: "write-only",
			to: func(d *draft) value {
				return choice{&d.v2Deprecation, []string{"not-yet", "write-only", "write-only-skip-check", "write-only-drop-data", "gone"}}
			},
			help: "How far API v2 is given up: write-only, write-only-skip-check, write-only-drop-data or gone.",
			idle: "API v2 stays; --enable-v2 switches it"},
	}
}

func discoveryRows() []setting {
	d := func(name, def, file string, to func(*Discovery) value, help string) setting {
		return setting{name: "discovery-" + name, group: groupClustering, def: def, file: "discovery-config." + file,
			to: func(d *draft) value { return to(&d.Discovery) }, help: help}
	}
	return []setting{
		d("token", "", "token", func(c *Discovery) value { return str(&c.Token) },
			"Token under which the members of the initial cluster find each other through another cluster."),
		d("endpoints", "", "client.endpoints", func(c *Discovery) value { return endpoints{&c.Endpoints} },
			"gRPC endpoints of the cluster that serves discovery, with commas between them."),
		d("dial-timeout", "2s", "client.dial-timeout", func(c *Discovery) value { return duration(&c.DialTimeout) },
			"How long connecting to it may take."),
		d("request-timeout", "5s", "client.request-timeout", func(c *Discovery) value { return duration(&c.RequestTimeout) },
			"How long a request to it may take."),
		d("keepalive-time", "2s", "client.keepalive-time", func(c *Discovery) value { return duration(&c.KeepAliveTime) },
			"After what time of silence it is pinged."),
		d("keepalive-timeout", "6s", "client.keepalive-timeout", func(c *Discovery) value { return duration(&c.KeepAliveTimeout) },
			"How long to wait for the answer to a ping."),
		d("insecure-transport", "true", "client.secure.insecure-transport",
			func(c *Discovery) value { return boolean(&c.InsecureTransport) }, "Connect to it without TLS."),
		d("insecure-skip-tls-verify", "false", "client.secure.insecure-skip-tls-verify",
			func(c *Discovery) value { return boolean(&c.InsecureSkipTLSVerify) }, "Do not verify its certificate. For tests only."),
		d("cert", "", "client.secure.cert", func(c *Discovery) value { return str(&c.CertFile) },
			"Certificate to show to it."),
		d("key", "", "client.secure.key", func(c *Discovery) value { return str(&c.KeyFile) },
			"Key of that certificate."),
		d("cacert", "", "client.secure.cacert", func(c *Discovery) value { return str(&c.CAFile) },
			"Authorities that sign its certificate."),
		d("user", "", "client.auth.username", func(c *Discovery) value { return str(&c.User) },
			"User there, as user or user:password."),
		d("password", "", "client.auth.password", func(c *Discovery) value { return str(&c.Password) },
			"Password of that user; --discovery-user holds no password then."),
	}
}
