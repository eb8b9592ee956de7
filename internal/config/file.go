package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"go.uber.org/zap"
	"sigs.k8s.io/yaml"
)

// file takes all settings from a configuration file. Keys that mean nothing are
// ignored, as etcd does.
func (p *parser) file(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	converted, err := yaml.YAMLToJSON(text)
	if err != nil {
		return fmt.Errorf("error converting YAML to JSON: %w", err)
	}
	keys := map[string]json.RawMessage{}
	if err := flatten(keys, "", converted); err != nil {
		return err
	}
	for i := range p.rows {
		row := &p.rows[i]
		if row.fileKey() == "" {
			continue
		}
		for _, key := range append([]string{row.fileKey()}, row.former...) {
			raw, ok := keys[key]
			if !ok || p.made[row.name] || string(raw) == "null" || row.gate != "" && p.draft.gates.said(row.gate) {
				continue
			}
			if err := row.to(&p.draft).fromFile(raw); err != nil {
				return decodingError(key, err)
			}
			p.made[row.name] = true
		}
	}
	p.info("loaded server configuration, other configuration command line flags and environment variables will be ignored if provided",
		zap.String("path", path))
	return nil
}

// flatten collects the values of an object, and of those in it, under keys with
// dots between the levels. Keys are compared without regard to case.
func flatten(into map[string]json.RawMessage, prefix string, raw json.RawMessage) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return decodingError(strings.TrimSuffix(prefix, "."), err)
	}
	for key, v := range object {
		key = prefix + strings.ToLower(key)
		into[key] = v
		if isSection(key) && string(v) != "null" {
			if err := flatten(into, key+".", v); err != nil {
				return err
			}
		}
	}
	return nil
}

// isSection reports whether key is an object of settings.
func isSection(key string) bool {
	switch key {
	case "client-transport-security", "peer-transport-security", "socket-options",
		"discovery-config", "discovery-config.client", "discovery-config.client.secure", "discovery-config.client.auth":
		return true
	}
	return false
}

// decodingError words an error of the JSON decoder as if the file had been decoded
// into one struct.
func decodingError(key string, err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		if key == "" {
			return fmt.Errorf("error unmarshaling JSON: while decoding JSON: json: cannot unmarshal %s into Go value of type embed.configYAML", wrongType.Value)
		}
		named := *wrongType
		named.Struct, named.Field = "configYAML", key
		return fmt.Errorf("error unmarshaling JSON: while decoding JSON: %w", &named)
	}
	return err
}
