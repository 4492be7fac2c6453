// Package tidy holds the house tests: the import law, sizes, names, package docs and a few habits, read from the source
// of the whole repository. The law is data (law.go); what finds a breach is in check.go; the tests run both over the
// repository, and over small trees that each break one rule, so that a check that was taken out is missed.
package tidy
