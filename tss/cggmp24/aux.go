package cggmp24

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/paillier"
	"chancery.dev/internal/secret"
	"chancery.dev/internal/transcript"
	"chancery.dev/internal/zk"
	"chancery.dev/tss"
)

// Rounds of the auxiliary information (Fig. 7 without the refresh).
const (
	roundAuxCommit  = 1 // everyone to everyone: hash of the opening
	roundAuxEcho    = 2 // everyone to everyone: the signed hashes
	roundAuxOpen    = 3 // everyone to everyone: N, N̂, s, t, Πprm, randomness
	roundAuxMod     = 4 // everyone to everyone: Πmod
	roundAuxFac     = 5 // to each: Πfac under its ring-Pedersen key
	roundAuxConfirm = 6 // everyone to everyone: digest of the result
)

// Names of the checks of the auxiliary information; those of a proof are followed by the proof's own.
const (
	CheckAuxOpening = "aux opening" // malformed, or not what was committed to
	CheckModulus    = "modulus"     // wrong size, even, or shared with somebody
	CheckPrm        = "Πprm"
	CheckMod        = "Πmod"
	CheckFac        = "Πfac"
	CheckAuxConfirm = "aux confirm" // a confirmation of another result
)

// Primes are the four safe primes of one party: Paillier's two and ring-Pedersen's two. They are made in advance.
type Primes struct{ P, Q, PHat, QHat *arith.Int }

// Erase overwrites them.
func (p Primes) Erase() { arith.EraseAll(p.P, p.Q, p.PHat, p.QHat) }

// PrimeBits is the size of each prime.
func PrimeBits() int { return params.Modulus / 2 }

// AuxPublic is one party's public keys.
type AuxPublic struct {
	Paillier *paillier.PublicKey
	Pedersen *paillier.Pedersen
}

// Aux is a party's auxiliary information: everybody's public keys, and its own secret ones.
type Aux struct {
	_      [0]func()
	self   tss.PartyID
	public map[tss.PartyID]AuxPublic
	own    *paillier.SecretKey
	ped    *paillier.PedersenSecret
	digest [32]byte
}

// auxOpening is what a party committed to.
type auxOpening struct {
	n, nHat, s, t *big.Int
	prm           []byte
	rid, salt     [32]byte
}

// marshal is: version, rid, salt, N, N̂, s, t (each as long as a modulus), Πprm.
func (o auxOpening) marshal() []byte {
	out := slices.Concat([]byte{version}, o.rid[:], o.salt[:])
	for _, v := range []*big.Int{o.n, o.nHat, o.s, o.t} {
		out = appendNumber(out, v, modulusLen())
	}
	return append(out, o.prm...)
}

func parseAuxOpening(b []byte) (auxOpening, error) {
	r := reader{b: b}
	var o auxOpening
	if r.byte() != version {
		return o, errMessage
	}
	o.rid, o.salt = r.array32(), r.array32()
	for _, v := range []**big.Int{&o.n, &o.nHat, &o.s, &o.t} {
		*v = r.number(modulusLen())
	}
	if r.failed {
		return o, errMessage
	}
	o.prm = r.b
	return o, nil
}

// keys are the public keys of an opening, checked in form.
func (o auxOpening) keys() (AuxPublic, error) {
	pk, err1 := paillier.NewPublicKey(o.n, params.Modulus)
	ped, err2 := paillier.NewPedersen(o.nHat, o.s, o.t, params.Modulus)
	return AuxPublic{pk, ped}, errors.Join(err1, err2)
}

// Auxiliary is the machine that makes the auxiliary information.
type Auxiliary struct {
	run
	own      *paillier.SecretKey
	ped      *paillier.PedersenSecret
	opening  auxOpening
	openings map[tss.PartyID]auxOpening
	public   map[tss.PartyID]AuxPublic
	rid      [32]byte
	digest   [32]byte
}

func auxShapes(s tss.Session) []tss.Shape {
	everyone := tss.Shape{Senders: s.IDs()}
	return []tss.Shape{everyone, everyone, everyone, everyone, {Senders: s.IDs(), Direct: true}, everyone}
}

// NewAuxiliary starts a run among all parties of the session. The primes stay the caller's to erase.
func NewAuxiliary(s tss.Session, primes Primes, notary tss.Notary) (*Auxiliary, error) {
	if s.Suite != Suite {
		return nil, errors.New("session is of another suite")
	}
	own, err := paillier.NewSecretKey(primes.P, primes.Q)
	if err != nil {
		return nil, err
	}
	ped, err := paillier.GeneratePedersen(primes.PHat, primes.QHat)
	if err != nil {
		return nil, err
	}
	if own.N().Big().BitLen() != params.Modulus || ped.N().Big().BitLen() != params.Modulus {
		return nil, fmt.Errorf("primes must have %d bits", PrimeBits())
	}
	r, err := newRun(s, notary, auxShapes(s)...)
	if err != nil {
		return nil, err
	}
	a := &Auxiliary{run: r, own: own, ped: ped, openings: map[tss.PartyID]auxOpening{}, public: map[tss.PartyID]AuxPublic{}}
	prm, err := params.ProvePrm(auxContext(a.id, s.Self, 0, "prm", [32]byte{}), ped)
	if err != nil {
		return nil, err
	}
	a.opening = auxOpening{n: own.N().Big(), nHat: ped.N().Big(), s: ped.S(), t: ped.T(), prm: prm.Marshal(params)}
	secret.Read(a.opening.rid[:])
	secret.Read(a.opening.salt[:])
	v := commitmentTo(a.id, "aux", s.Self, a.opening.marshal())
	a.broadcast(roundAuxCommit, v[:])
	return a, a.whole(a.finish)
}

// auxContext binds a proof to the session and, where it comes after the openings, to the joint randomness.
func auxContext(id tss.SessionID, prover, verifier tss.PartyID, role string, rid [32]byte) zk.Context {
	return zk.Context{Session: transcript.Hash("chancery/cggmp24/aux/v1", id[:], rid[:]), Prover: uint16(prover), Verifier: uint16(verifier), Role: role}
}

// Step takes one message.
func (a *Auxiliary) Step(e tss.Envelope) error {
	return a.step(e, func() error { return a.whole(a.finish) }, a.Close)
}

func (a *Auxiliary) finish(round uint8) error {
	switch round {
	case roundAuxCommit:
		a.broadcast(roundAuxEcho, a.inbox.EchoPayload(roundAuxCommit))
	case roundAuxEcho:
		if err := a.inbox.CheckEchoes(roundAuxCommit, a.notary.Open); err != nil {
			return err
		}
		a.broadcast(roundAuxOpen, a.opening.marshal())
	case roundAuxOpen:
		return a.finishOpenings()
	case roundAuxFac:
		return a.finishProofs()
	case roundAuxConfirm:
		return a.finishConfirm()
	}
	return nil
}

// checkAuxOpening compares an opening with its commitment, reads it, and checks keys and Πprm. It names the check that
// fails.
func checkAuxOpening(id tss.SessionID, from tss.PartyID, commit, open []byte) (auxOpening, AuxPublic, string) {
	if v := commitmentTo(id, "aux", from, open); !bytes.Equal(v[:], commit) {
		return auxOpening{}, AuxPublic{}, CheckAuxOpening
	}
	o, err := parseAuxOpening(open)
	if err != nil {
		return o, AuxPublic{}, CheckAuxOpening
	}
	keys, err := o.keys()
	if err != nil {
		return o, keys, CheckModulus
	}
	prm, err := zk.UnmarshalPrm(params, o.prm)
	if err != nil || params.VerifyPrm(auxContext(id, from, 0, "prm", [32]byte{}), keys.Pedersen, prm) != nil {
		return o, keys, CheckPrm
	}
	return o, keys, ""
}

// shared says whether two numbers have a common factor.
func shared(a, b *big.Int) bool {
	g := new(big.Int).GCD(nil, nil, a, b)
	return !g.IsUint64() || g.Uint64() != 1
}

func (a *Auxiliary) finishOpenings() error {
	for _, j := range a.session.IDs() {
		o, keys, check := a.opening, AuxPublic{a.own.PublicKey, a.ped.Pedersen}, ""
		if j != a.session.Self {
			o, keys, check = checkAuxOpening(a.id, j, a.inbox.Get(roundAuxCommit, j).Payload, a.inbox.Get(roundAuxOpen, j).Payload)
		}
		if check == "" && shared(o.n, o.nHat) {
			check = CheckModulus
		}
		if check != "" {
			return a.blameOpening(j, check)
		}
		a.openings[j], a.public[j] = o, keys
		for i := range a.rid {
			a.rid[i] ^= o.rid[i]
		}
	}
	self := a.session.Self
	mod, err := params.ProveMod(auxContext(a.id, self, 0, "mod", a.rid), a.own)
	if err != nil {
		return err
	}
	a.broadcast(roundAuxMod, mod.Marshal(params))
	for _, j := range a.session.IDs() {
		if j == self {
			continue
		}
		fac, err := params.ProveFac(auxContext(a.id, self, j, "fac", a.rid), zk.FacStatement{Key: a.own.PublicKey, Ped: a.public[j].Pedersen}, a.own)
		if err != nil {
			return err
		}
		a.send(roundAuxFac, j, fac.Marshal(params))
	}
	return nil
}

// checkModuli refuses moduli of two parties with a common factor. It comes after the proofs: whoever took another's N, which
// an earlier run may have shown, cannot prove it and is named for that. Who shares a factor with this party's own moduli took
// it, though nobody else can know; between two others nobody can say who copied whom.
func (a *Auxiliary) checkModuli() error {
	ids, self := a.session.IDs(), a.session.Self
	for i, j := range ids {
		for _, k := range ids[i+1:] {
			o, p := a.openings[j], a.openings[k]
			switch {
			case !shared(o.n, p.n) && !shared(o.n, p.nHat) && !shared(o.nHat, p.n) && !shared(o.nHat, p.nHat):
			case j == self:
				return &tss.Fault{Party: k, Round: roundAuxOpen, Check: CheckModulus}
			case k == self:
				return &tss.Fault{Party: j, Round: roundAuxOpen, Check: CheckModulus}
			default:
				return fmt.Errorf("moduli of parties %d and %d have a common factor", j, k)
			}
		}
	}
	return nil
}

func (a *Auxiliary) blameOpening(j tss.PartyID, check string) error {
	return &tss.Fault{Party: j, Round: roundAuxOpen, Check: check,
		Evidence: tss.EncodeEvidence(a.inbox.Get(roundAuxOpen, j).Signed, a.inbox.Get(roundAuxCommit, j).Signed)}
}

// finishProofs verifies everybody's Πmod and Πfac. A proof's challenge depends on everybody's randomness, so the evidence
// holds the prover's own echo of the commitments and every opening.
func (a *Auxiliary) finishProofs() error {
	for _, j := range a.session.IDs() {
		if j == a.session.Self {
			continue
		}
		if checkMod(a.id, j, a.public[j], a.rid, a.inbox.Get(roundAuxMod, j).Payload) != nil {
			return a.blameProof(j, roundAuxMod, CheckMod)
		}
		if checkFac(a.id, j, a.session.Self, a.public[j], a.ped.Pedersen, a.rid, a.inbox.Get(roundAuxFac, j).Payload) != nil {
			return a.blameProof(j, roundAuxFac, CheckFac)
		}
	}
	if err := a.checkModuli(); err != nil {
		return err
	}
	a.digest = a.confirmation()
	a.broadcast(roundAuxConfirm, a.digest[:])
	return nil
}

func checkMod(id tss.SessionID, from tss.PartyID, keys AuxPublic, rid [32]byte, payload []byte) error {
	proof, err := zk.UnmarshalMod(params, payload)
	if err != nil {
		return err
	}
	return params.VerifyMod(auxContext(id, from, 0, "mod", rid), keys.Paillier, proof)
}

func checkFac(id tss.SessionID, from, to tss.PartyID, keys AuxPublic, ped *paillier.Pedersen, rid [32]byte, payload []byte) error {
	proof, err := zk.UnmarshalFac(params, payload)
	if err != nil {
		return err
	}
	return params.VerifyFac(auxContext(id, from, to, "fac", rid), zk.FacStatement{Key: keys.Paillier, Ped: ped}, proof)
}

func (a *Auxiliary) blameProof(j tss.PartyID, round uint8, check string) error {
	list := append([][]byte{a.inbox.Get(round, j).Signed, a.inbox.Get(roundAuxEcho, j).Signed}, a.originals(roundAuxOpen, a.session.IDs())...)
	return &tss.Fault{Party: j, Round: round, Check: check, Evidence: tss.EncodeEvidence(list...)}
}

// auxDigest is over everybody's public keys.
func auxDigest(id tss.SessionID, public map[tss.PartyID]AuxPublic, ids []tss.PartyID) [32]byte {
	t := transcript.New("chancery/cggmp24/aux/digest/v1")
	t.Bytes("session", id[:])
	for _, j := range ids {
		t.Uint64("party", uint64(j))
		for _, v := range []*big.Int{public[j].Paillier.N().Big(), public[j].Pedersen.N().Big(), public[j].Pedersen.S(), public[j].Pedersen.T()} {
			t.Bytes("number", v.Bytes())
		}
	}
	return t.Sum()
}

func (a *Auxiliary) confirmation() [32]byte { return auxDigest(a.id, a.public, a.session.IDs()) }

func (a *Auxiliary) finishConfirm() error {
	for _, j := range a.session.IDs() {
		if j != a.session.Self && !bytes.Equal(a.inbox.Get(roundAuxConfirm, j).Payload, a.digest[:]) {
			return a.blameProof(j, roundAuxConfirm, CheckAuxConfirm)
		}
	}
	a.finished = true
	return nil
}

// Result is the auxiliary information once everybody has confirmed. The caller owns it.
func (a *Auxiliary) Result() (*Aux, bool) {
	if !a.finished {
		return nil, false
	}
	return &Aux{self: a.session.Self, public: a.public, own: a.own, ped: a.ped, digest: a.digest}, true
}

// Close ends the run. It may be called twice.
func (a *Auxiliary) Close() {
	if !a.finished {
		a.dead = true
	}
}

// Party is whose auxiliary information this is.
func (a *Aux) Party() tss.PartyID { return a.self }

// String prints no key.
func (a *Aux) String() string {
	return fmt.Sprintf("auxiliary information of party %d", uint16(a.self))
}

// Marshal is: version, digest, own number, own primes, λ, count, then number, N, N̂, s and t of each party, ascending.
func (a *Aux) Marshal() *secret.Bytes {
	out := append([]byte{version}, a.digest[:]...)
	out = binary.BigEndian.AppendUint16(out, uint16(a.self))
	p, q := a.own.Factors()
	ph, qh := a.ped.Factors()
	lambda := a.ped.Lambda()
	defer arith.EraseAll(p, q, ph, qh, lambda)
	for _, v := range []*arith.Int{p, q, ph, qh} {
		out = append(out, v.Bytes(modulusLen()/2)...)
	}
	out = append(out, lambda.Bytes(modulusLen())...)
	ids := a.parties()
	out = binary.BigEndian.AppendUint16(out, uint16(len(ids)))
	for _, id := range ids {
		out = binary.BigEndian.AppendUint16(out, uint16(id))
		k := a.public[id]
		for _, v := range []*big.Int{k.Paillier.N().Big(), k.Pedersen.N().Big(), k.Pedersen.S(), k.Pedersen.T()} {
			out = appendNumber(out, v, modulusLen())
		}
	}
	return secret.New(out)
}

func (a *Aux) parties() []tss.PartyID {
	var ids []tss.PartyID
	for id := range a.public {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// UnmarshalAux reads what Marshal wrote and checks that the secret keys are those of the public ones.
func UnmarshalAux(b []byte) (*Aux, error) {
	r := reader{b: b}
	if r.byte() != version {
		return nil, errKey
	}
	a := &Aux{public: map[tss.PartyID]AuxPublic{}}
	a.digest = r.array32()
	a.self = tss.PartyID(r.uint16())
	var primes [4]*arith.Int
	for i := range primes {
		primes[i] = arith.IntFromBytes(r.take(modulusLen() / 2))
	}
	lambda := arith.IntFromBytes(r.take(modulusLen()))
	defer arith.EraseAll(append(primes[:], lambda)...)
	n := int(r.uint16())
	if r.failed || n > MaxParties {
		return nil, errKey
	}
	last := tss.PartyID(0)
	for range n {
		id := tss.PartyID(r.uint16())
		o := auxOpening{n: r.number(modulusLen()), nHat: r.number(modulusLen()), s: r.number(modulusLen()), t: r.number(modulusLen())}
		keys, err := o.keys()
		if err != nil || r.failed || id <= last {
			return nil, errKey
		}
		last, a.public[id] = id, keys
	}
	mine, ok := a.public[a.self]
	if r.end() != nil || !ok {
		return nil, errKey
	}
	var err error
	if a.own, err = paillier.NewSecretKey(primes[0], primes[1]); err != nil {
		return nil, errKey
	}
	if a.ped, err = paillier.NewPedersenSecret(primes[2], primes[3], mine.Pedersen.T(), lambda); err != nil {
		return nil, errKey
	}
	if a.own.N().Big().Cmp(mine.Paillier.N().Big()) != 0 || a.ped.S().Cmp(mine.Pedersen.S()) != 0 || a.ped.N().Big().Cmp(mine.Pedersen.N().Big()) != 0 {
		return nil, errKey
	}
	a.public[a.self] = AuxPublic{a.own.PublicKey, a.ped.Pedersen}
	return a, nil
}
