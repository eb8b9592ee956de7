// Package outpost is what the programs have in common that stand before a cluster and are no
// members of it, the gateway and the proxy: their surroundings, their log, and how they find the
// cluster's endpoints.
package outpost
