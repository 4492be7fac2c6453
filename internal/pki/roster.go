package pki

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"

	"chancery.dev/internal/transcript"
)

// Bounds of a roster.
const (
	MaxNodes      = 64
	maxRosterFile = 64 << 10 // bytes
	maxAddress    = 255      // bytes
)

// Node is a roster entry.
type Node struct {
	ID       NodeID
	Party    uint16 // number in threshold protocols
	Address  string // host:port of the mesh, UDP
	Identity [32]byte
	Pin      [32]byte // SHA-256 of the TLS key's public key info
}

// Roster says who the nodes of a cluster are in one epoch. It is immutable once parsed.
type Roster struct {
	Cluster   string
	Epoch     uint64
	Threshold int
	Nodes     []Node // ascending by party
}

type nodeJSON struct {
	ID       NodeID `json:"id"`
	Party    uint16 `json:"party"`
	Address  string `json:"address"`
	Identity string `json:"identity_key"`
	Pin      string `json:"spki_sha256"`
}

type rosterJSON struct {
	Cluster   string     `json:"cluster"`
	Epoch     uint64     `json:"epoch"`
	Threshold int        `json:"threshold"`
	Nodes     []nodeJSON `json:"nodes"`
}

// ParseRoster reads a roster file's bytes, strictly.
func ParseRoster(data []byte) (*Roster, error) {
	if len(data) > maxRosterFile {
		return nil, refuse(CodeRoster, "roster is larger than %d bytes", maxRosterFile)
	}
	var w rosterJSON
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return nil, refuse(CodeRoster, "decode: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, refuse(CodeRoster, "more than one value")
	}
	if err := exactKeys(json.NewDecoder(bytes.NewReader(data))); err != nil {
		return nil, refuse(CodeRoster, "decode: %w", err)
	}
	r := &Roster{Cluster: w.Cluster, Epoch: w.Epoch, Threshold: w.Threshold}
	for _, n := range w.Nodes {
		id, err1 := hex32(n.Identity)
		pin, err2 := hex32(n.Pin)
		if err := errors.Join(err1, err2); err != nil {
			return nil, refuse(CodeRoster, "keys of %q: %w", n.ID, err)
		}
		r.Nodes = append(r.Nodes, Node{n.ID, n.Party, n.Address, id, pin})
	}
	slices.SortFunc(r.Nodes, func(a, b Node) int { return int(a.Party) - int(b.Party) })
	return r, r.validate()
}

// rosterKeys are the keys of rosterJSON and nodeJSON.
var rosterKeys = []string{"cluster", "epoch", "threshold", "nodes", "id", "party", "address", "identity_key", "spki_sha256"}

// exactKeys refuses what encoding/json lets through and other readers take otherwise: a key that stands twice in one object,
// and a key that is a field's name but for its case.
func exactKeys(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil || token != json.Delim('{') && token != json.Delim('[') {
		return err
	}
	seen := map[string]bool{}
	for d.More() {
		if token == json.Delim('{') {
			key, err := d.Token()
			if err != nil {
				return err
			}
			name, ok := key.(string)
			if !ok || seen[name] || !slices.Contains(rosterKeys, name) {
				return fmt.Errorf("key %q stands twice or is unknown", key)
			}
			seen[name] = true
		}
		if err := exactKeys(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// LoadRoster reads a roster file.
func LoadRoster(path string) (*Roster, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read roster: %w", err)
	}
	return ParseRoster(data)
}

// validate refuses everything that two nodes could read differently or that would make one node count twice.
func (r *Roster) validate() error {
	if !ValidName(r.Cluster) {
		return refuse(CodeRoster, "cluster name is not valid")
	}
	if len(r.Nodes) < 2 || len(r.Nodes) > MaxNodes {
		return refuse(CodeRoster, "a roster has 2 to %d nodes", MaxNodes)
	}
	if r.Threshold < 2 || r.Threshold > len(r.Nodes) || 2*r.Threshold <= len(r.Nodes) {
		return refuse(CodeRoster, "threshold must be a majority of the nodes, and at least 2")
	}
	seen := map[string]bool{}
	for _, n := range r.Nodes {
		host, port, err := net.SplitHostPort(n.Address)
		switch {
		case !ValidName(string(n.ID)):
			return refuse(CodeRoster, "node id %q is not valid", n.ID)
		case n.Party == 0:
			return refuse(CodeRoster, "party 0 is not allowed")
		case err != nil || host == "" || port == "" || len(n.Address) > maxAddress:
			return refuse(CodeRoster, "address of %s must be host:port", n.ID)
		case n.Identity == [32]byte{} || n.Pin == [32]byte{}:
			return refuse(CodeRoster, "keys of %s are missing", n.ID)
		}
		for _, unique := range []string{"id " + string(n.ID), fmt.Sprint("party ", n.Party), "address " + n.Address,
			"identity key " + hex.EncodeToString(n.Identity[:]), "pin " + hex.EncodeToString(n.Pin[:])} {
			if seen[unique] {
				return refuse(CodeRoster, "%s stands twice", unique)
			}
			seen[unique] = true
		}
	}
	return nil
}

// Encode is the roster file.
func (r *Roster) Encode() ([]byte, error) {
	w := rosterJSON{Cluster: r.Cluster, Epoch: r.Epoch, Threshold: r.Threshold}
	for _, n := range r.Nodes {
		w.Nodes = append(w.Nodes, nodeJSON{n.ID, n.Party, n.Address, hex.EncodeToString(n.Identity[:]), hex.EncodeToString(n.Pin[:])})
	}
	out, err := json.MarshalIndent(w, "", "  ")
	return append(out, '\n'), err
}

// Digest binds cluster, epoch, threshold and every node. Everything that nodes sign names it.
func (r *Roster) Digest() [32]byte {
	t := transcript.New("chancery/roster/v1")
	t.String("cluster", r.Cluster)
	t.Uint64("epoch", r.Epoch)
	t.Uint64("threshold", uint64(r.Threshold))
	t.Uint64("nodes", uint64(len(r.Nodes)))
	for _, n := range r.Nodes {
		t.String("id", string(n.ID))
		t.Uint64("party", uint64(n.Party))
		t.String("address", n.Address)
		t.Bytes("identity", n.Identity[:])
		t.Bytes("pin", n.Pin[:])
	}
	return t.Sum()
}

// ByID finds a node by its name.
func (r *Roster) ByID(id NodeID) (Node, bool) {
	i := slices.IndexFunc(r.Nodes, func(n Node) bool { return n.ID == id })
	if i < 0 {
		return Node{}, false
	}
	return r.Nodes[i], true
}

// ByParty finds a node by its number.
func (r *Roster) ByParty(party uint16) (Node, bool) {
	i := slices.IndexFunc(r.Nodes, func(n Node) bool { return n.Party == party })
	if i < 0 {
		return Node{}, false
	}
	return r.Nodes[i], true
}

// PublicKey is the node's identity key.
func (n Node) PublicKey() ed25519.PublicKey { return ed25519.PublicKey(n.Identity[:]) }

// MakeRoster makes a roster from the authority's log: the newest entry of each named node. Parties are numbered from 1 in
// the order of the arguments, which have the form node=host:port.
func MakeRoster(cluster string, epoch uint64, threshold int, issued []Issued, args []string) (*Roster, error) {
	r := &Roster{Cluster: cluster, Epoch: epoch, Threshold: threshold}
	for i, arg := range args {
		id, address, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, refuse(CodeRoster, "%q is not node=host:port", arg)
		}
		last := -1
		for j := range issued {
			if string(issued[j].ID) == id {
				last = j
			}
		}
		if last < 0 {
			return nil, refuse(CodeRoster, "the authority has issued nothing to %q", id)
		}
		identity, err1 := hex32(issued[last].Identity)
		pin, err2 := hex32(issued[last].Pin)
		if err := errors.Join(err1, err2); err != nil {
			return nil, refuse(CodeRoster, "issuance log: %w", err)
		}
		r.Nodes = append(r.Nodes, Node{NodeID(id), uint16(i + 1), address, identity, pin})
	}
	return r, r.validate()
}
