package frost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"chancery.dev/tss"
)

// Rounds of preprocessing and of signing.
const (
	roundCommitments = 1 // everyone to everyone: nonce commitments
	roundAgreed      = 2 // everyone to everyone: the signed commitments
	roundPartials    = 3 // everyone to everyone: partial signatures
)

// Names of the checks of signing.
const (
	CheckCommitments = "commitments" // malformed list of nonce commitments
	CheckPartial     = "partial"     // partial signature that is malformed or does not fit
)

// Preprocess is the machine that agrees on nonce commitments before they are used: one message, and its echo. After it
// every signer has the same list for every nonce, so one message each completes a signature (RFC 9591 section 5.1).
type Preprocess struct {
	run
	signers
}

// signers is the part that preprocessing and signing share.
type signers struct {
	share  *KeyShare // not owned
	nonces []*Nonces
	lists  [][]Commitment // by nonce, then by signer
}

// NewPreprocess starts making batch nonce pairs among the parties of the session, each a holder of the key.
func NewPreprocess(s tss.Session, share *KeyShare, batch int, notary tss.Notary) (*Preprocess, error) {
	if batch < 1 || batch > MaxBatch {
		return nil, fmt.Errorf("batch must have 1 to %d nonces", MaxBatch)
	}
	if err := checkSigners(s, share); err != nil {
		return nil, err
	}
	everyone := tss.Shape{Senders: s.IDs()}
	r, err := newRun(s, notary, everyone, everyone)
	if err != nil {
		return nil, err
	}
	p := &Preprocess{run: r, signers: signers{share: share}}
	p.broadcast(roundCommitments, p.draw(batch))
	return p, p.whole(p.finish)
}

func checkSigners(s tss.Session, share *KeyShare) error {
	public := share.public
	if s.Suite != public.suite.Name() || s.Threshold != public.threshold || s.Self != share.self || len(s.Parties) < public.threshold {
		return errors.New("session does not fit the key")
	}
	for _, id := range s.IDs() {
		if !has(public.ids, id) {
			return fmt.Errorf("party %d holds no share", id)
		}
	}
	return nil
}

// draw makes fresh nonces and the message with their commitments.
func (g *signers) draw(n int) []byte {
	out := binary.BigEndian.AppendUint16([]byte{messageVersion}, uint16(n))
	for range n {
		nonces := g.share.Commit()
		g.nonces = append(g.nonces, nonces)
		out = append(out, nonces.commitment.encoded...)
	}
	return out
}

// parseCommitments reads exactly n commitments of a party.
func parseCommitments(s Suite, from tss.PartyID, n int, b []byte) ([]Commitment, error) {
	r := reader{b: b}
	if r.byte() != messageVersion || int(r.uint16()) != n {
		return nil, errMessage
	}
	out := make([]Commitment, n)
	for i := range out {
		out[i] = newCommitment(from, r.point(s), r.point(s))
		if r.failed {
			return nil, errMessage
		}
	}
	return out, r.end()
}

// agree checks the echo and sorts everybody's commitments into lists.
func (g *signers) agree(r *run) error {
	if err := r.inbox.CheckEchoes(roundCommitments, r.notary.Open); err != nil {
		return err
	}
	g.lists = make([][]Commitment, len(g.nonces))
	for _, id := range r.session.IDs() {
		e := r.inbox.Get(roundCommitments, id)
		list, err := parseCommitments(g.share.public.suite, id, len(g.nonces), e.Payload)
		if err != nil {
			return &tss.Fault{Party: id, Round: roundCommitments, Check: CheckCommitments, Evidence: tss.EncodeEvidence(e.Signed)}
		}
		for i, c := range list {
			g.lists[i] = append(g.lists[i], c)
		}
	}
	return nil
}

// Step takes one message.
func (p *Preprocess) Step(e tss.Envelope) error {
	return p.step(e, func() error { return p.whole(p.finish) }, p.Close)
}

func (p *Preprocess) finish(round uint8) error {
	if round == roundCommitments {
		p.broadcast(roundAgreed, p.inbox.EchoPayload(roundCommitments))
		return nil
	}
	p.finished = true
	return p.agree(&p.run)
}

// Result is the batch, which the caller then owns.
func (p *Preprocess) Result() (*NonceBatch, bool) {
	if !p.finished || p.dead {
		return nil, false
	}
	return &NonceBatch{nonces: p.nonces, lists: p.lists}, true
}

// Close erases the nonces of a run that did not end.
func (p *Preprocess) Close() {
	if !p.finished || p.dead {
		p.dead = true
		closeAll(p.nonces)
	}
}

func closeAll(nonces []*Nonces) {
	for _, n := range nonces {
		n.Close()
	}
}

// NonceBatch is this party's nonces and everybody's commitments for each of them. Each nonce can be taken once.
type NonceBatch struct {
	nonces []*Nonces
	lists  [][]Commitment
}

// Len is how many nonces there were.
func (b *NonceBatch) Len() int { return len(b.nonces) }

// Take gives nonce i, once.
func (b *NonceBatch) Take(i int) (*Nonces, error) {
	if i < 0 || i >= len(b.nonces) || b.nonces[i] == nil {
		return nil, ErrNonceUsed
	}
	n := b.nonces[i]
	b.nonces[i] = nil
	return n, nil
}

// SigningPackage is the package for signing a message with nonce i.
func (b *NonceBatch) SigningPackage(i int, public *PublicKey, message []byte, d Derivation) (*SigningPackage, error) {
	if i < 0 || i >= len(b.lists) {
		return nil, ErrNonceUsed
	}
	return NewSigningPackage(public, slices.Clone(b.lists[i]), message, d)
}

// Close erases the nonces that nobody took.
func (b *NonceBatch) Close() {
	for i, n := range b.nonces {
		n.Close()
		b.nonces[i] = nil
	}
}
