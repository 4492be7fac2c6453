package cggmp24

import (
	"errors"
	"math/big"

	"chancery.dev/internal/group"
	"chancery.dev/internal/zk"
	"chancery.dev/tss"
)

// When the sums of presigning are wrong although every message was right by itself, somebody's δ (or S) is not what its
// ciphertexts hold. Everybody then shows the signed messages of round 5 that it got and proves that its own value is the
// decryption of its sum (Πdec): Fig. 9 and section 4.3.1 of the paper. Exactly those who cheated cannot.
//
// The paper lets each party show what it sent, and prove it again with Πaff-g*. Here messages are signed, so each shows what
// it got, with the sender's Πaff-g, which everybody can verify; docs/spec/cggmp24.md has the argument.

// What was wrong.
type alertKind uint8

const (
	noAlert    alertKind = 0
	alertNonce alertKind = 1 // δG is not the sum of the Δ
	alertChi   alertKind = 2 // δX is not the sum of the S
)

// Names of the checks of an alert.
const (
	CheckAlert = "alert" // malformed, of another kind, or shows messages that were not sent
	CheckDec   = "Πdec"  // own value is not the decryption
)

// sums judges round 6 of all signers.
func (s signing) sums(deltas map[tss.PartyID]deltaMessage) (delta *group.Scalar, alert alertKind) {
	delta = curve.Zero()
	bigDelta, bigS := curve.Identity(), curve.Identity()
	for _, m := range deltas {
		delta, bigDelta, bigS = delta.Add(m.delta), bigDelta.Add(m.bigDelta), bigS.Add(m.bigS)
	}
	switch {
	case !curve.BaseMul(delta).Equal(bigDelta):
		return delta, alertNonce
	case !curve.MultiMulVartime([]*group.Scalar{delta}, []*group.Point{s.public.key}).Equal(bigS):
		return delta, alertChi
	}
	return delta, noAlert
}

// alertMessage is round 8 of one party: the signed messages of round 5 from every other signer, ascending, and Πdec.
type alertMessage struct {
	kind  alertKind
	shown map[tss.PartyID]tss.Envelope
	dec   *zk.Dec
}

func (p *Presign) marshalAlert(kind alertKind, dec *zk.Dec) []byte {
	out := []byte{version, byte(kind)}
	for _, j := range p.others() {
		out = appendBlock(out, p.inbox.Get(roundAffine, j).Signed)
	}
	return append(out, dec.Marshal(params)...)
}

// parseAlert reads an alert: every shown message must be its sender's, of this session and round, to the one who shows it.
func (s signing) parseAlert(from tss.PartyID, b []byte, open func([]byte) (tss.Envelope, error)) (alertMessage, error) {
	r := reader{b: b}
	v := r.byte()
	m := alertMessage{kind: alertKind(r.byte()), shown: map[tss.PartyID]tss.Envelope{}}
	for _, j := range s.othersOf(from) {
		e, err := open(r.block())
		if err != nil || e.Session != s.id || e.Round != roundAffine || e.From != j || e.To != from {
			return m, errMessage
		}
		m.shown[j] = e
	}
	if r.failed || v != version {
		return m, errMessage
	}
	var err error
	m.dec, err = zk.UnmarshalDec(params, r.b)
	return m, err
}

// othersOf are the other signers, ascending.
func (s signing) othersOf(id tss.PartyID) []tss.PartyID {
	var out []tss.PartyID
	for _, j := range s.session.IDs() {
		if j != id {
			out = append(out, j)
		}
	}
	return out
}

// claim is what Πdec is about: got and sent are messages of round 5 to and from the party.
type claim struct {
	kind      alertKind
	k         *big.Int // its K
	gammaOwn  *group.Point
	gamma     *group.Point // sum of all
	delta     deltaMessage
	got, sent map[tss.PartyID]affineMessage
}

func (k alertKind) pick(nonce, chi *big.Int) *big.Int {
	if k == alertChi {
		return chi
	}
	return nonce
}

func (k alertKind) role() string {
	if k == alertChi {
		return "dec x"
	}
	return "dec γ"
}

// decStatement is that a party's δ (or χ) is the decryption of K^x times the product of the D that it got and the F that it
// sent, each F inverted, for F holds -β.
func (s signing) decStatement(from tss.PartyID, c claim) zk.DecStatement {
	nn := s.keys[from].Paillier.NN()
	product := big.NewInt(1)
	for _, j := range s.othersOf(from) {
		inverse, err := nn.Inverse(c.kind.pick(c.sent[j].f, c.sent[j].fHat))
		if err != nil {
			inverse = new(big.Int) // no unit: the proof about it is refused
		}
		product = nn.Mul(nn.Mul(product, c.kind.pick(c.got[j].d, c.got[j].dHat)), inverse)
	}
	st := zk.DecStatement{Key: s.keys[from].Paillier, K: c.k, D: product, X: c.gammaOwn, S: curve.BaseMul(c.delta.delta), H: curve.Generator()}
	if c.kind == alertChi {
		st.X, st.S, st.H = s.shares[from], c.delta.bigS, c.gamma
	}
	return st
}

// raise starts an alert.
func (p *Presign) raise(kind alertKind) error {
	p.alert = kind
	self, s := p.self(), &p.sec
	w := zk.DecWitness{Own: p.aux.own, X: s.gammaInt, Y: s.deltaInt}
	if kind == alertChi {
		w.X, w.Y = s.xInt, s.chiInt
	}
	st := p.decStatement(self, claim{kind, p.nonces[self].k, p.gammas[self], p.gamma, p.deltas[self], p.got, p.sent})
	dec, err := params.ProveDec(p.context(self, 0, kind.role()), st, w)
	if err != nil {
		return err
	}
	p.broadcast(roundAlert, p.marshalAlert(kind, dec))
	return nil
}

// finishAlert verifies everybody's answers, and names the first who failed.
func (p *Presign) finishAlert() error {
	alerts := map[tss.PartyID]alertMessage{}
	for _, j := range p.signing.session.IDs() {
		m, err := p.parseAlert(j, p.inbox.Get(roundAlert, j).Payload, p.notary.Open)
		if err != nil || m.kind != p.alert {
			return p.fault(j, roundAlert, CheckAlert, roundDelta2)
		}
		alerts[j] = m
	}
	sent := map[tss.PartyID]map[tss.PartyID]affineMessage{} // by sender, then by receiver
	for to, m := range alerts {
		for from, e := range m.shown {
			a, check := p.checkAffine(from, to, p.nonces[to].k, p.gammas[from], e.Payload)
			if check != "" {
				return p.faultShown(from, check, e)
			}
			if sent[from] == nil {
				sent[from] = map[tss.PartyID]affineMessage{}
			}
			sent[from][to] = a
		}
	}
	for _, j := range p.others() {
		got := map[tss.PartyID]affineMessage{}
		for _, from := range p.othersOf(j) {
			got[from] = sent[from][j]
		}
		st := p.decStatement(j, claim{p.alert, p.nonces[j].k, p.gammas[j], p.gamma, p.deltas[j], got, sent[j]})
		if params.VerifyDec(p.context(j, 0, p.alert.role()), st, alerts[j].dec) != nil {
			return p.faultDec(j)
		}
	}
	return errors.New("the sums are wrong although everybody proved its part") // cannot be, but for this party's own fault
}

// faultShown convicts the sender of a shown message whose proof does not hold.
func (p *Presign) faultShown(from tss.PartyID, check string, e tss.Envelope) error {
	list := [][]byte{e.Signed, p.inbox.Get(roundGamma, from).Signed, p.inbox.Get(roundNonces2, from).Signed}
	return &tss.Fault{Party: from, Round: roundAffine, Check: check, Evidence: tss.EncodeEvidence(list...)}
}

// faultDec holds the accused's own alert and its own echoes of rounds 1 and 6, everybody's Γ, and everybody's alert, which
// show what the accused itself signed.
func (p *Presign) faultDec(j tss.PartyID) error {
	ids := p.signing.session.IDs()
	list := [][]byte{p.inbox.Get(roundAlert, j).Signed, p.inbox.Get(roundNonces2, j).Signed, p.inbox.Get(roundDelta2, j).Signed}
	list = append(append(list, p.originals(roundGamma, ids)...), p.originals(roundAlert, ids)...)
	return &tss.Fault{Party: j, Round: roundAlert, Check: CheckDec, Evidence: tss.EncodeEvidence(list...)}
}
