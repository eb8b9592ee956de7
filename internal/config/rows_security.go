package config

func securityRows() []setting {
	rows := append(clientCertificateRows(), peerCertificateRows()...)
	return append(rows, []setting{
		{name: "self-signed-cert-validity", group: groupSecurity, def: "1",
			to:   func(d *draft) value { return unsigned(&d.TLS.SelfSignedYears) },
			help: "Years for which certificates are valid that the server makes."},
		{name: "cipher-suites", group: groupSecurity,
			to:   func(d *draft) value { return list{to: &d.cipherSuites} },
			help: "TLS cipher suites to use, by Go's names, with commas between them. Go's choice if there are none."},
		{name: "tls-min-version", group: groupSecurity, def: "TLS1.2",
			to:   func(d *draft) value { return str(&d.tlsMin) },
			help: "Lowest version of TLS: TLS1.2 or TLS1.3."},
		{name: "tls-max-version", group: groupSecurity,
			to:   func(d *draft) value { return str(&d.tlsMax) },
			help: "Highest version of TLS: TLS1.2 or TLS1.3. The highest there is if it is not set."},
		{name: "cors", group: groupSecurity, def: "*",
			to:   func(d *draft) value { return origins{&d.HTTP.CORS} },
			help: "Origins whose web pages may use the HTTP API, URLs with a port (* or nothing for all)."},
		{name: "host-whitelist", group: groupSecurity, def: "*",
			to:   func(d *draft) value { return hosts(&d.HTTP.HostWhitelist) },
			help: "Host names that clients may use for plain HTTP (* or nothing for all)."},
	}...)
}

// certificateRow makes a row of one side: flag is its name there, key its name in
// the side's section of a file.
type certificateRow struct {
	flag, def, key string
	to             func(*Certificates) value
	help           string
}

func sideRows(section string, side func(*draft) *Certificates, rows []certificateRow) []setting {
	all := make([]setting, len(rows))
	for i, r := range rows {
		file := notInFile
		if r.key != "" {
			file = section + "." + r.key
		}
		all[i] = setting{name: r.flag, group: groupSecurity, def: r.def, file: file, help: r.help,
			to: func(d *draft) value { return r.to(side(d)) }}
	}
	return all
}

func clientCertificateRows() []setting {
	rows := sideRows("client-transport-security", func(d *draft) *Certificates { return &d.ClientTLS }, []certificateRow{
		{"cert-file", "", "cert-file", func(c *Certificates) value { return str(&c.CertFile) },
			"Certificate to show to clients."},
		{"key-file", "", "key-file", func(c *Certificates) value { return str(&c.KeyFile) },
			"Key of that certificate."},
		{"client-cert-file", "", "client-cert-file", func(c *Certificates) value { return str(&c.ClientCertFile) },
			"Certificate to show when this server connects to itself as a client. --cert-file if it is not set."},
		{"client-key-file", "", "client-key-file", func(c *Certificates) value { return str(&c.ClientKeyFile) },
			"Key of that certificate."},
		{"client-cert-auth", "false", "client-cert-auth", func(c *Certificates) value { return boolean(&c.ClientCertAuth) },
			"Require certificates of clients, and take their common names for users."},
		{"client-crl-file", "", "", func(c *Certificates) value { return str(&c.CRLFile) },
			"Certificates of clients that are revoked."},
		{"client-cert-allowed-hostname", "", "allowed-hostname", func(c *Certificates) value { return list{to: &c.AllowedHostnames} },
			"Host names of which a client's certificate must hold one, with commas between them."},
		{"trusted-ca-file", "", "trusted-ca-file", func(c *Certificates) value { return str(&c.TrustedCAFile) },
			"Authorities that sign the certificates of clients. Setting it requires certificates."},
		{"auto-tls", "false", "auto-tls", func(c *Certificates) value { return boolean(&c.Auto) },
			"Use a certificate towards clients that the server makes itself."},
	})
	for i := range rows {
		if rows[i].name == "client-cert-file" || rows[i].name == "client-key-file" {
			rows[i].idle = "the server does not connect to itself"
		}
	}
	return rows
}

func peerCertificateRows() []setting {
	rows := sideRows("peer-transport-security", func(d *draft) *Certificates { return &d.PeerTLS }, []certificateRow{
		{"peer-cert-file", "", "cert-file", func(c *Certificates) value { return str(&c.CertFile) },
			"Certificate to show to other members."},
		{"peer-key-file", "", "key-file", func(c *Certificates) value { return str(&c.KeyFile) },
			"Key of that certificate."},
		{"peer-client-cert-file", "", "client-cert-file", func(c *Certificates) value { return str(&c.ClientCertFile) },
			"Certificate to show when connecting to other members. --peer-cert-file if it is not set."},
		{"peer-client-key-file", "", "client-key-file", func(c *Certificates) value { return str(&c.ClientKeyFile) },
			"Key of that certificate."},
		{"peer-client-cert-auth", "false", "client-cert-auth", func(c *Certificates) value { return boolean(&c.ClientCertAuth) },
			"Require certificates of other members."},
		{"peer-trusted-ca-file", "", "trusted-ca-file", func(c *Certificates) value { return str(&c.TrustedCAFile) },
			"Authorities that sign the certificates of members."},
		{"peer-crl-file", "", "", func(c *Certificates) value { return str(&c.CRLFile) },
			"Certificates of members that are revoked."},
		{"peer-auto-tls", "false", "auto-tls", func(c *Certificates) value { return boolean(&c.Auto) },
			"Use a certificate towards members that the server makes itself."},
		{"peer-cert-allowed-cn", "", "allowed-cn", func(c *Certificates) value { return list{to: &c.AllowedCNs} },
			"Common names of which a member's certificate must have one, with commas between them."},
		{"peer-cert-allowed-hostname", "", "allowed-hostname", func(c *Certificates) value { return list{to: &c.AllowedHostnames} },
			"Host names of which a member's certificate must hold one, with commas between them."},
		{"peer-skip-client-san-verification", "false", "skip-client-san-verification",
			func(c *Certificates) value { return boolean(&c.SkipSANVerification) },
			"Do not compare the names in a member's certificate with where it connects from."},
	})
	rows[len(rows)-1].former = []string{"experimental-peer-skip-client-san-verification"}
	return rows
}

func authRows() []setting {
	return []setting{
		{name: "auth-token", group: groupAuth, def: "simple",
			to:   func(d *draft) value { return str(&d.Auth.Token) },
			help: "Kind of tokens: simple, or jwt with its options as in jwt,sign-method=RS256,pub-key=FILE,priv-key=FILE."},
		{name: "bcrypt-cost", group: groupAuth, def: "10",
			to:   func(d *draft) value { return unsigned(&d.bcryptCost) },
			help: "Cost of hashing passwords, 4 to 31."},
		{name: "auth-token-ttl", group: groupAuth, def: "300",
			to:   func(d *draft) value { return unsigned(&d.tokenTTLSeconds) },
			help: "Seconds after which a simple token expires that is not used."},
		{name: "auth-watch-revocation", group: groupAuth, def: "false",
			to:   func(d *draft) value { return boolean(&d.Auth.RevokeWatches) },
			help: "End running watches whose user has lost the right to them (not in etcd)."},
		{name: "audit-log", group: groupAuth,
			to:   func(d *draft) value { return str(&d.Audit.Path) },
			help: "File to which it is written down what each client does, as lines of JSON without values (not in etcd)."},
		{name: "audit-log-max-size", group: groupAuth, def: "100",
			to:   func(d *draft) value { return unsigned(&d.Audit.MaxSizeMB) },
			help: "Size in MB from which that file is put aside."},
		{name: "audit-log-max-files", group: groupAuth, def: "10",
			to:   func(d *draft) value { return unsigned(&d.Audit.MaxFiles) },
			help: "How many of the files put aside are kept (0 for all)."},
	}
}
