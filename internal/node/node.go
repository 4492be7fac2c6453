package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"chancery.dev/internal/exec"
	"chancery.dev/internal/httpapi"
	"chancery.dev/internal/intent"
	"chancery.dev/internal/keystore"
	"chancery.dev/internal/mesh"
	"chancery.dev/internal/permit"
	"chancery.dev/internal/pki"
	"chancery.dev/internal/policy"
	"chancery.dev/internal/quorum"
	"chancery.dev/internal/records"
	"chancery.dev/internal/records/sqlite"
	"chancery.dev/internal/secret"
	"chancery.dev/internal/wallet"
	"chancery.dev/internal/wallet/esplora"
	"chancery.dev/tss"
)

const allow = policy.Allow

// chainSource is everything that a node asks the chain.
type chainSource interface {
	wallet.Reader
	wallet.Chain
}

// Node is a running custody node. New opens its parts, Run runs them.
type Node struct {
	config  Config
	log     *slog.Logger
	network wallet.Network

	roster     *pki.Roster
	self       tss.PartyID
	identity   *pki.Identity
	signer     quorum.Signer
	electorate quorum.Electorate
	policy     policy.Policy

	mesh     *mesh.Mesh
	keystore *keystore.Store
	records  *sqlite.Store
	chain    chainSource
	executor *exec.Executor
	office   permit.Office
	api      *secret.Bytes // token

	ctx  context.Context // of Run
	wait sync.WaitGroup  // courses

	mu       sync.Mutex
	closing  bool
	courses  map[intent.ID]*course
	making   making        // presignatures
	used     chan struct{} // wakes the refilling of the pool
	early    map[intent.ID][]event
	reserved map[string]intent.ID // outpoints of payments under way, by intent
	accounts map[intent.KeyID]*wallet.Account
}

// New opens a node's files and checks them against each other. It listens to nothing yet.
func New(ctx context.Context, c Config, log *slog.Logger) (n *Node, err error) {
	n = &Node{config: c, log: log, policy: policy.AllowAll(), courses: map[intent.ID]*course{}, used: make(chan struct{}, 1), early: map[intent.ID][]event{},
		reserved: map[string]intent.ID{}, accounts: map[intent.KeyID]*wallet.Account{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	if n.network, err = wallet.ParseNetwork(c.Chain.Network); err != nil {
		return n, err
	}
	if n.api, err = readToken(c.API.TokenFile); err != nil {
		return n, err
	}
	if err := n.openIdentity(); err != nil {
		return n, err
	}
	if err := n.openStores(ctx); err != nil {
		return n, err
	}
	if n.chain, err = esplora.New(c.Chain.Esplora, c.Chain.AllowHosts); err != nil {
		return n, err
	}
	return n, n.wire()
}

// readToken reads the API token: a private file, trailing white space cut off.
func readToken(path string) (*secret.Bytes, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("api token: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, errors.New("api token: file must be regular and have mode 0600")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("api token: %w", err)
	}
	defer secret.Wipe(raw)
	return secret.New([]byte(strings.TrimSpace(string(raw)))), nil
}

func (n *Node) openIdentity() error {
	var err error
	if n.roster, err = pki.LoadRoster(n.config.Roster); err != nil {
		return err
	}
	identity, root, err := pki.LoadIdentity(n.config.Identity)
	if err != nil {
		return err
	}
	n.identity, n.signer = identity, identity
	entry, known := n.roster.ByID(pki.NodeID(n.config.Node))
	if !known || identity.ID != entry.ID {
		return fmt.Errorf("node %q is not on the roster, or its identity is another node's", n.config.Node)
	}
	n.self = tss.PartyID(entry.Party)
	n.electorate = quorum.Electorate{Cluster: n.roster.Digest(), Epoch: n.roster.Epoch, Threshold: n.roster.Threshold, Keys: publicKeys(n.roster)}
	n.mesh, err = mesh.New(mesh.Config{Roster: n.roster, Identity: identity, Root: root, Listen: n.config.Listen, Now: time.Now, Log: n.log, Handler: n.receive})
	return err
}

func (n *Node) openStores(ctx context.Context) error {
	if err := os.MkdirAll(n.config.Data, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	store, err := keystore.Open(ctx, keystore.Options{Path: filepath.Join(n.config.Data, "keystore.db"), PassphraseFile: n.config.Keystore.PassphraseFile,
		Cluster: n.keystoreBinding(), Node: n.config.Node, Create: true})
	if err != nil { // what came with the error is no store, and cannot be closed
		return fmt.Errorf("keystore: %w", err)
	}
	n.keystore = store
	n.records, err = sqlite.Open(ctx, filepath.Join(n.config.Data, "records.db"))
	return err
}

// keystoreBinding names the cluster in every sealed value. It leaves out the epoch, which each value names for itself, so
// that a new roster does not lock the store.
func (n *Node) keystoreBinding() [32]byte {
	var out [32]byte
	copy(out[:], n.roster.Cluster)
	return out
}

func (n *Node) wire() error {
	parties := map[tss.PartyID]tss.Party{}
	for _, e := range n.roster.Nodes {
		parties[tss.PartyID(e.Party)] = tss.Party{ID: tss.PartyID(e.Party), Identity: e.Identity}
	}
	n.executor = &exec.Executor{Self: n.self, Cluster: n.roster.Digest(), Epoch: n.roster.Epoch, Parties: parties,
		Sessions: n.sessions(), Notary: n.mesh.Notary(), Vault: n.keystore}
	n.office = permit.Office{Electorate: n.electorate, Burner: burner{n.keystore, n.roster.Epoch}, Authority: n.executor}
	return nil
}

// burner writes permits into the keystore.
type burner struct {
	store *keystore.Store
	epoch uint64
}

func (b burner) Burn(id permit.ID) error {
	return b.store.Burn(keystore.Ref{Kind: keystore.KindPermit, Key: id, Epoch: b.epoch, Name: "permit"})
}

// links is the mesh as sessions see it.
type links struct{ mesh *mesh.Mesh }

func (l links) Send(_ context.Context, e tss.Envelope) error {
	return l.mesh.SendSigned(e.To, e.Signed)
}

func (l links) SendOpen(_ context.Context, to tss.PartyID, label, nonce [32]byte) error {
	return l.mesh.Send(kindOpen, tss.Envelope{To: to, Payload: append(label[:], nonce[:]...)})
}

// Run runs the node until ctx is done and returns when everything has ended: mesh, API, chain watch, courses.
func (n *Node) Run(ctx context.Context) error {
	handler, err := httpapi.New(n, n.api, n.log)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", n.config.API.Listen)
	if err != nil {
		return fmt.Errorf("api: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	n.ctx = ctx
	failures := make(chan error, 2)
	var parts sync.WaitGroup
	parts.Go(func() { failures <- n.mesh.Run(ctx) })
	parts.Go(func() { failures <- httpapi.Serve(ctx, listener, handler, n.log) })
	parts.Go(func() { n.watchChain(ctx) })
	if n.config.Presign.Target > 0 {
		parts.Go(func() { n.refill(ctx) })
	}
	n.log.Info("node runs", "node", n.config.Node, "cluster", n.roster.Cluster, "epoch", n.roster.Epoch, "api", n.config.API.Listen)
	if err := n.resume(ctx); err != nil {
		n.log.Error("intents not taken up again", "error", err)
	}
	var first error
	select {
	case <-ctx.Done():
	case first = <-failures:
	}
	cancel()
	n.mu.Lock()
	n.closing = true
	n.mu.Unlock()
	parts.Wait()
	n.wait.Wait()
	return first
}

// Close closes what New opened. Run must have returned.
func (n *Node) Close() error {
	var errs []error
	if n.executor != nil {
		n.executor.Close()
	}
	if n.keystore != nil {
		errs = append(errs, n.keystore.Close())
	}
	if n.records != nil {
		errs = append(errs, n.records.Close())
	}
	if n.identity != nil {
		n.identity.Close()
	}
	n.api.Erase()
	return errors.Join(errs...)
}

// resume starts the courses of intents that were under way when the node stopped.
func (n *Node) resume(ctx context.Context) error {
	all, err := n.records.List(ctx, "", sqlite.MaxList)
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.State.Terminal() {
			continue
		}
		i, err := intent.Parse(r.Canonical)
		if err != nil {
			return fmt.Errorf("stored intent: %w", err)
		}
		n.destroyHeld(i, r)
		n.reserve(i, intent.ID(r.ID))
		if r.State == records.Published {
			continue // only its confirmation is open: watchChain sees to it
		}
		coordinator := n.self
		if !r.Coordinator {
			coordinator = 0 // whoever calls; every call carries its own certificate
		}
		if err := n.start(i, intent.ID(r.ID), coordinator); err != nil {
			return err
		}
	}
	return nil
}

// destroyHeld erases what attempts before the stop have left held: none of them is taken up again.
func (n *Node) destroyHeld(i intent.Intent, r records.Intent) {
	for attempt := uint32(1); attempt <= r.Attempt; attempt++ {
		if err := n.executor.Destroy(i.Key, n.office.IDFor(intent.ID(r.ID), attempt)); err != nil {
			n.log.Error("held partials not destroyed", "intent", r.ID, "error", err)
		}
	}
}

func (n *Node) now() time.Time { return time.Now().UTC() }

func (n *Node) audit(kind string, id intent.ID, text string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.ctx), 5*time.Second)
	defer cancel()
	if err := n.records.Audit(ctx, n.now().Unix(), kind, records.ID(id), text); err != nil {
		n.log.Error("audit log", "error", err)
	}
}

// advance moves a record to a state and marks the time.
func (n *Node) advance(ctx context.Context, id intent.ID, to records.State, change func(*records.Intent)) (records.Intent, error) {
	now, changed := n.now(), false
	r, err := n.records.Update(context.WithoutCancel(ctx), records.ID(id), func(r *records.Intent) {
		if changed = r.State != to; changed {
			r.Timeline = append(r.Timeline, records.Mark{State: to, UnixMilli: now.UnixMilli()})
		}
		r.State, r.UpdatedUnix = to, now.Unix()
		if change != nil {
			change(r)
		}
	})
	if err == nil && changed {
		n.audit("state."+string(to), id, r.Reason)
	}
	return r, err
}

func (n *Node) broadcast(_ context.Context, kind mesh.Kind, payload []byte) {
	if err := n.mesh.Send(kind, tss.Envelope{To: tss.Everyone, Payload: payload}); err != nil {
		n.log.Warn("broadcast did not reach every queue", "error", err)
	}
}

func (n *Node) tell(to tss.PartyID, kind mesh.Kind, payload []byte) {
	if err := n.mesh.Send(kind, tss.Envelope{To: to, Payload: payload}); err != nil {
		n.log.Warn("message not queued", "to", to, "error", err)
	}
}

// name is a party's node id.
func (n *Node) name(party uint16) string {
	e, _ := n.roster.ByParty(party)
	return string(e.ID)
}

// connected is the parties that can be reached now, this one included, ascending.
func (n *Node) connected() []tss.PartyID {
	out := []tss.PartyID{n.self}
	for _, p := range n.mesh.Peers() {
		if p.Connected {
			out = append(out, p.Party)
		}
	}
	slices.Sort(out)
	return out
}

// sessions is the switchboard of this node's executions; how long each step took goes to the log.
func (n *Node) sessions() *exec.Sessions {
	s := exec.NewSessions(n.self, links{n.mesh})
	s.Observe = func(step string, took time.Duration) {
		n.log.Debug("engine step", "step", step, "took_ms", float64(took.Microseconds())/1000)
	}
	return s
}
