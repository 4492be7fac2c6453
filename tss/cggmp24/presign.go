package cggmp24

import (
	"errors"
	"fmt"
	"math/big"
	"slices"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/group"
	"chancery.dev/internal/paillier"
	"chancery.dev/internal/transcript"
	"chancery.dev/internal/zk"
	"chancery.dev/tss"
)

// Rounds of presigning (Fig. 8). The paper's rounds 1, 2 and 3 are 1 and 3, 4 and 5, and 6; 2 and 7 are echoes.
const (
	roundNonces  = 1 // everyone to everyone: K, G, Y, A1, A2, B1, B2
	roundNonces2 = 2 // everyone to everyone: the signed messages of round 1
	roundEncElg  = 3 // to each, together with round 1: Πenc-elg of K and of G
	roundGamma   = 4 // everyone to everyone: Γ with Πelog
	roundAffine  = 5 // to each: D, F, D̂, F̂ with Πaff-g twice
	roundDelta   = 6 // everyone to everyone: δ, Δ, S with Πelog
	roundDelta2  = 7 // everyone to everyone: the signed messages of round 6
	roundAlert   = 8 // only when the sums are wrong: everyone to everyone, the messages of round 5 as they came, and Πdec
)

// Names of the checks of presigning.
const (
	CheckNonces  = "nonces"
	CheckEncElgK = "Πenc-elg of K"
	CheckEncElgG = "Πenc-elg of G"
	CheckGamma   = "Πelog of Γ"
	CheckAffG    = "Πaff-g of γ"
	CheckAffGHat = "Πaff-g of x"
	CheckDelta   = "Πelog of Δ"
)

// signing is what the signers of one run agree on before it starts.
type signing struct {
	session tss.Session
	id      tss.SessionID
	public  *PublicKey
	keys    map[tss.PartyID]AuxPublic
	shares  map[tss.PartyID]*group.Point // X_j: Lagrange-weighted verifying shares, which sum to the key
}

// newSigning checks that the session fits key and auxiliary information, and weighs the verifying shares.
func newSigning(s tss.Session, public *PublicKey, keys map[tss.PartyID]AuxPublic) (signing, error) {
	if s.Suite != Suite || s.Threshold != public.threshold || len(s.Parties) != public.threshold {
		return signing{}, errors.New("session does not fit the key: exactly threshold parties sign")
	}
	out := signing{session: s, id: s.ID(), public: public, keys: keys, shares: map[tss.PartyID]*group.Point{}}
	for _, id := range s.IDs() {
		share, holds := public.shares[id]
		if _, known := keys[id]; !holds || !known {
			return signing{}, fmt.Errorf("party %d holds no share or has no auxiliary information", id)
		}
		out.shares[id] = curve.MultiMulVartime([]*group.Scalar{lagrange(s.IDs(), id, 0)}, []*group.Point{share})
	}
	return out, nil
}

func (s signing) context(prover, verifier tss.PartyID, role string) zk.Context {
	return zk.Context{Session: s.id, Prover: uint16(prover), Verifier: uint16(verifier), Role: role}
}

// nonceMessage is round 1 of one party.
type nonceMessage struct {
	k, g              *big.Int
	y, a1, a2, b1, b2 *group.Point
}

func (m nonceMessage) marshal() []byte {
	out := appendNumber(appendNumber([]byte{version}, m.k, 2*modulusLen()), m.g, 2*modulusLen())
	for _, p := range []*group.Point{m.y, m.a1, m.a2, m.b1, m.b2} {
		out = append(out, p.Bytes()...)
	}
	return out
}

func (s signing) parseNonces(from tss.PartyID, b []byte) (nonceMessage, error) {
	r := reader{b: b}
	if r.byte() != version {
		return nonceMessage{}, errMessage
	}
	m := nonceMessage{k: r.number(2 * modulusLen()), g: r.number(2 * modulusLen())}
	for _, p := range []**group.Point{&m.y, &m.a1, &m.a2, &m.b1, &m.b2} {
		*p = r.point()
	}
	key := s.keys[from].Paillier
	if r.end() != nil || !key.IsCiphertext(m.k) || !key.IsCiphertext(m.g) {
		return nonceMessage{}, errMessage
	}
	return m, nil
}

// affineMessage is round 5 from one party to another.
type affineMessage struct {
	d, f, dHat, fHat *big.Int
	proof, proofHat  *zk.AffG
}

func (m affineMessage) marshal() []byte {
	out := []byte{version}
	for _, v := range []*big.Int{m.d, m.f, m.dHat, m.fHat} {
		out = appendNumber(out, v, 2*modulusLen())
	}
	return appendBlock(appendBlock(out, m.proof.Marshal(params)), m.proofHat.Marshal(params))
}

func parseAffine(b []byte) (affineMessage, error) {
	r := reader{b: b}
	if r.byte() != version {
		return affineMessage{}, errMessage
	}
	var m affineMessage
	for _, v := range []**big.Int{&m.d, &m.f, &m.dHat, &m.fHat} {
		*v = r.number(2 * modulusLen())
	}
	proof, proofHat := r.block(), r.block()
	if err := r.end(); err != nil {
		return m, err
	}
	var err1, err2 error
	m.proof, err1 = zk.UnmarshalAffG(params, proof)
	m.proofHat, err2 = zk.UnmarshalAffG(params, proofHat)
	return m, errors.Join(err1, err2)
}

// deltaMessage is round 6 of one party.
type deltaMessage struct {
	delta    *group.Scalar
	bigDelta *group.Point
	bigS     *group.Point
	proof    *zk.Elog
}

func (m deltaMessage) marshal() []byte {
	return slices.Concat([]byte{version}, m.delta.Bytes(), m.bigDelta.Bytes(), m.bigS.Bytes(), m.proof.Marshal(params))
}

func parseDelta(b []byte) (deltaMessage, error) {
	r := reader{b: b}
	if r.byte() != version {
		return deltaMessage{}, errMessage
	}
	m := deltaMessage{delta: r.scalar(), bigDelta: r.point(), bigS: r.point()}
	if r.failed {
		return m, errMessage
	}
	var err error
	m.proof, err = zk.UnmarshalElog(params, r.b)
	return m, err
}

// secrets of one run. They are kept until the output is right: a party must be able to defend itself.
type secrets struct {
	x, k, gamma      *group.Scalar
	kInt, gammaInt   *arith.Int
	xInt             *arith.Int
	rho, nu          *paillier.OwnNonce
	a, b             *group.Scalar
	beta, betaHat    map[tss.PartyID]*arith.Int // as they stand in F and F̂: CGGMP24's -β
	s, sHat          map[tss.PartyID]*paillier.Nonce
	r, rHat          map[tss.PartyID]*paillier.OwnNonce
	powers           map[tss.PartyID]*arith.Comb // of K_j
	chi              *group.Scalar
	deltaInt, chiInt *arith.Int // before they are reduced
	alpha, alphaHat  *arith.Int // decrypted sums
}

func (s *secrets) erase() {
	for _, v := range []*group.Scalar{s.x, s.k, s.gamma, s.a, s.b, s.chi} {
		v.Erase()
	}
	arith.EraseAll(s.kInt, s.gammaInt, s.xInt, s.deltaInt, s.chiInt, s.alpha, s.alphaHat)
	for _, n := range []*paillier.OwnNonce{s.rho, s.nu} {
		if n != nil {
			n.Erase()
		}
	}
	for j := range s.beta {
		arith.EraseAll(s.beta[j], s.betaHat[j])
		s.s[j].Erase()
		s.sHat[j].Erase()
		s.r[j].Erase()
		s.rHat[j].Erase()
	}
}

// Presign is the machine of presigning among exactly threshold signers.
type Presign struct {
	run
	signing
	share  *KeyShare // not owned
	aux    *Aux
	sec    secrets
	nonces map[tss.PartyID]nonceMessage
	gammas map[tss.PartyID]*group.Point
	sent   map[tss.PartyID]affineMessage
	got    map[tss.PartyID]affineMessage
	deltas map[tss.PartyID]deltaMessage
	gamma  *group.Point
	alert  alertKind
	result *Presignature
}

func presignShapes(s tss.Session) []tss.Shape {
	all, each := tss.Shape{Senders: s.IDs()}, tss.Shape{Senders: s.IDs(), Direct: true}
	return []tss.Shape{all, all, each, all, each, all, all, all}
}

// NewPresign starts a run. aux must have been made among parties that include all signers.
func NewPresign(s tss.Session, share *KeyShare, aux *Aux, notary tss.Notary) (*Presign, error) {
	if s.Self != share.self || s.Self != aux.self {
		return nil, errors.New("share or auxiliary information is of another party")
	}
	sg, err := newSigning(s, share.public, aux.public)
	if err != nil {
		return nil, err
	}
	r, err := newRun(s, notary, presignShapes(s)...)
	if err != nil {
		return nil, err
	}
	p := &Presign{run: r, signing: sg, share: share, aux: aux, nonces: map[tss.PartyID]nonceMessage{}, gammas: map[tss.PartyID]*group.Point{},
		sent: map[tss.PartyID]affineMessage{}, got: map[tss.PartyID]affineMessage{}, deltas: map[tss.PartyID]deltaMessage{}}
	if err := p.start(); err != nil {
		return nil, err
	}
	return p, p.whole(p.finish)
}

func (p *Presign) self() tss.PartyID { return p.signing.session.Self }

// others are the other signers.
func (p *Presign) others() []tss.PartyID {
	var out []tss.PartyID
	for _, id := range p.signing.session.IDs() {
		if id != p.self() {
			out = append(out, id)
		}
	}
	return out
}

// start is the paper's round 1.
func (p *Presign) start() error {
	s := &p.sec
	s.x = p.share.share.Mul(lagrange(p.signing.session.IDs(), p.self(), 0))
	s.k, s.gamma, s.a, s.b = curve.RandomScalar(), curve.RandomScalar(), curve.RandomScalar(), curve.RandomScalar()
	s.kInt, s.gammaInt, s.xInt = zk.IntOf(s.k), zk.IntOf(s.gamma), zk.IntOf(s.x)
	own := p.aux.own
	s.rho, s.nu = own.NewOwnNonce(), own.NewOwnNonce()
	m := nonceMessage{y: curve.BaseMul(curve.RandomScalar())}
	var err error
	if m.k, err = own.EncryptOwn(s.kInt, s.rho); err != nil {
		return err
	}
	if m.g, err = own.EncryptOwn(s.gammaInt, s.nu); err != nil {
		return err
	}
	m.a1, m.a2 = curve.BaseMul(s.a), m.y.Mul(s.a).Add(curve.BaseMul(s.k))
	m.b1, m.b2 = curve.BaseMul(s.b), m.y.Mul(s.b).Add(curve.BaseMul(s.gamma))
	p.nonces[p.self()] = m
	p.broadcast(roundNonces, m.marshal())
	for _, j := range p.others() {
		k, err := params.ProveEncElg(p.context(p.self(), j, "K"), p.encElgK(p.self(), j, m), zk.EncElgWitness{Own: own, X: s.kInt, Rho: s.rho, B: s.a})
		if err != nil {
			return err
		}
		g, err := params.ProveEncElg(p.context(p.self(), j, "G"), p.encElgG(p.self(), j, m), zk.EncElgWitness{Own: own, X: s.gammaInt, Rho: s.nu, B: s.b})
		if err != nil {
			return err
		}
		p.send(roundEncElg, j, appendBlock(appendBlock([]byte{version}, k.Marshal(params)), g.Marshal(params)))
	}
	return nil
}

// encElgK and encElgG are the statements of round 3.
func (s signing) encElgK(from, to tss.PartyID, m nonceMessage) zk.EncElgStatement {
	return zk.EncElgStatement{Key: s.keys[from].Paillier, Ped: s.keys[to].Pedersen, C: m.k, A: m.y, B: m.a1, X: m.a2}
}

func (s signing) encElgG(from, to tss.PartyID, m nonceMessage) zk.EncElgStatement {
	return zk.EncElgStatement{Key: s.keys[from].Paillier, Ped: s.keys[to].Pedersen, C: m.g, A: m.y, B: m.b1, X: m.b2}
}

// Step takes one message.
func (p *Presign) Step(e tss.Envelope) error {
	return p.step(e, func() error { return p.whole(p.finish) }, p.Close)
}

// finish is the protocol: each round, once it is whole, is finished in turn.
func (p *Presign) finish(round uint8) error {
	switch round {
	case roundNonces:
		p.broadcast(roundNonces2, p.inbox.EchoPayload(roundNonces))
	case roundEncElg:
		return p.finishNonces()
	case roundAffine:
		return p.finishAffine()
	case roundDelta:
		p.broadcast(roundDelta2, p.inbox.EchoPayload(roundDelta))
	case roundDelta2:
		return p.finishDeltas()
	case roundAlert:
		return p.finishAlert()
	}
	return nil
}

// fault blames a party with the message that failed and others of its own that it is judged beside.
func (p *Presign) fault(j tss.PartyID, round uint8, check string, more ...uint8) error {
	list := [][]byte{p.inbox.Get(round, j).Signed}
	for _, other := range more {
		list = append(list, p.inbox.Get(other, j).Signed)
	}
	return &tss.Fault{Party: j, Round: round, Check: check, Evidence: tss.EncodeEvidence(list...)}
}

// checkEncElg judges round 3 of one party to another.
func (s signing) checkEncElg(from, to tss.PartyID, m nonceMessage, payload []byte) string {
	r := reader{b: payload}
	v := r.byte()
	rawK, rawG := r.block(), r.block()
	if r.end() != nil || v != version {
		return CheckEncElgK
	}
	k, err := zk.UnmarshalEncElg(params, rawK)
	if err != nil || params.VerifyEncElg(s.context(from, to, "K"), s.encElgK(from, to, m), k) != nil {
		return CheckEncElgK
	}
	g, err := zk.UnmarshalEncElg(params, rawG)
	if err != nil || params.VerifyEncElg(s.context(from, to, "G"), s.encElgG(from, to, m), g) != nil {
		return CheckEncElgG
	}
	return ""
}

func (p *Presign) finishNonces() error {
	if err := p.inbox.CheckEchoes(roundNonces, p.notary.Open); err != nil {
		return err
	}
	for _, j := range p.others() {
		m, err := p.parseNonces(j, p.inbox.Get(roundNonces, j).Payload)
		if err != nil {
			return p.fault(j, roundNonces, CheckNonces)
		}
		p.nonces[j] = m
	}
	for _, j := range p.others() {
		if check := p.checkEncElg(j, p.self(), p.nonces[j], p.inbox.Get(roundEncElg, j).Payload); check != "" {
			return p.fault(j, roundEncElg, check, roundNonces)
		}
	}
	return p.sendGamma()
}

// elogGamma is the statement of round 4: the ElGamal commitment (B1, B2) under Y holds what Γ is to the base G.
func elogGamma(m nonceMessage, gamma *group.Point) zk.ElogStatement {
	return zk.ElogStatement{L: m.b1, M: m.b2, X: m.y, Y: gamma, H: curve.Generator()}
}

// elogDelta is the statement of round 6: (A1, A2) holds what Δ is to the base Γ.
func elogDelta(m nonceMessage, delta, gamma *group.Point) zk.ElogStatement {
	return zk.ElogStatement{L: m.a1, M: m.a2, X: m.y, Y: delta, H: gamma}
}

// sendGamma is the paper's round 2.
func (p *Presign) sendGamma() error {
	s, self, own := &p.sec, p.self(), p.aux.own
	gamma := curve.BaseMul(s.gamma)
	p.gammas[self] = gamma
	proof := params.ProveElog(p.context(self, 0, "Γ"), elogGamma(p.nonces[self], gamma), s.b, s.gamma)
	p.broadcast(roundGamma, slices.Concat([]byte{version}, gamma.Bytes(), proof.Marshal(params)))
	s.beta, s.betaHat = map[tss.PartyID]*arith.Int{}, map[tss.PartyID]*arith.Int{}
	s.s, s.sHat = map[tss.PartyID]*paillier.Nonce{}, map[tss.PartyID]*paillier.Nonce{}
	s.r, s.rHat = map[tss.PartyID]*paillier.OwnNonce{}, map[tss.PartyID]*paillier.OwnNonce{}
	s.powers = map[tss.PartyID]*arith.Comb{}
	bound := new(big.Int).Lsh(big.NewInt(1), uint(params.LPrime))
	for _, j := range p.others() {
		key := p.keys[j].Paillier
		var err error
		if s.powers[j], err = params.PowersOf(key, p.nonces[j].k); err != nil {
			return err
		}
		s.beta[j], s.betaHat[j] = arith.RandomSigned(bound), arith.RandomSigned(bound)
		s.r[j], s.rHat[j] = own.NewOwnNonce(), own.NewOwnNonce()
		if s.s[j], err = key.NewNonce(); err != nil {
			return err
		}
		if s.sHat[j], err = key.NewNonce(); err != nil {
			return err
		}
		var m affineMessage
		if m.d, m.f, m.proof, err = p.affine(j, "γ", s.gammaInt, gamma, s.beta[j], s.s[j], s.r[j]); err != nil {
			return err
		}
		if m.dHat, m.fHat, m.proofHat, err = p.affine(j, "x", s.xInt, p.shares[self], s.betaHat[j], s.sHat[j], s.rHat[j]); err != nil {
			return err
		}
		p.sent[j] = m
		p.send(roundAffine, j, m.marshal())
	}
	return nil
}

// affine is D = K_j^x * enc_j(y; s), F = enc_i(y; r) and the proof that they are made so, with X = xG.
func (p *Presign) affine(j tss.PartyID, role string, x *arith.Int, point *group.Point, y *arith.Int, s *paillier.Nonce, r *paillier.OwnNonce) (d, f *big.Int, proof *zk.AffG, err error) {
	key, own := p.keys[j].Paillier, p.aux.own
	power, err := p.sec.powers[j].Exp(x)
	if err != nil {
		return nil, nil, nil, err
	}
	d = key.NN().Mul(power, key.Encrypt(y, s.Power))
	if f, err = own.EncryptOwn(y, r); err != nil {
		return nil, nil, nil, err
	}
	st := p.affineStatement(p.self(), j, p.nonces[j].k, d, f, point)
	proof, err = params.ProveAffG(p.context(p.self(), j, role), st, zk.AffGWitness{Own: own, Powers: p.sec.powers[j], X: x, Y: y, Rho: s, RhoY: r})
	return d, f, proof, err
}

func (s signing) affineStatement(from, to tss.PartyID, k, d, f *big.Int, point *group.Point) zk.AffGStatement {
	return zk.AffGStatement{Key0: s.keys[to].Paillier, Key1: s.keys[from].Paillier, Ped: s.keys[to].Pedersen, C: k, D: d, Y: f, X: point}
}

// checkGamma judges round 4 of one party.
func (s signing) checkGamma(from tss.PartyID, m nonceMessage, payload []byte) (*group.Point, string) {
	r := reader{b: payload}
	v := r.byte()
	gamma := r.point()
	if r.failed || v != version {
		return nil, CheckGamma
	}
	proof, err := zk.UnmarshalElog(params, r.b)
	if err != nil || params.VerifyElog(s.context(from, 0, "Γ"), elogGamma(m, gamma), proof) != nil {
		return nil, CheckGamma
	}
	return gamma, ""
}

// checkAffine judges round 5 of one party to another.
func (s signing) checkAffine(from, to tss.PartyID, k *big.Int, gamma *group.Point, payload []byte) (affineMessage, string) {
	m, err := parseAffine(payload)
	if err != nil {
		return m, CheckAffG
	}
	if params.VerifyAffG(s.context(from, to, "γ"), s.affineStatement(from, to, k, m.d, m.f, gamma), m.proof) != nil {
		return m, CheckAffG
	}
	if params.VerifyAffG(s.context(from, to, "x"), s.affineStatement(from, to, k, m.dHat, m.fHat, s.shares[from]), m.proofHat) != nil {
		return m, CheckAffGHat
	}
	return m, ""
}

// finishAffine is the paper's round 3.
func (p *Presign) finishAffine() error {
	self := p.self()
	sum := p.gammas[self]
	for _, j := range p.others() {
		gamma, check := p.checkGamma(j, p.nonces[j], p.inbox.Get(roundGamma, j).Payload)
		if check != "" {
			return p.fault(j, roundGamma, check, roundNonces)
		}
		p.gammas[j], sum = gamma, sum.Add(gamma)
	}
	for _, j := range p.others() {
		m, check := p.checkAffine(j, self, p.nonces[self].k, p.gammas[j], p.inbox.Get(roundAffine, j).Payload)
		if check != "" {
			return p.fault(j, roundAffine, check, roundGamma, roundNonces2)
		}
		p.got[j] = m
	}
	if sum.IsIdentity() {
		return errors.New("sum of the nonce points is the identity")
	}
	p.gamma = sum.Encoded()
	return p.sendDelta()
}

func (p *Presign) sendDelta() error {
	s, self := &p.sec, p.self()
	d, dHat := big.NewInt(1), big.NewInt(1)
	nn := p.aux.own.NN()
	for _, m := range p.got {
		d, dHat = nn.Mul(d, m.d), nn.Mul(dHat, m.dHat)
	}
	var err error
	if s.alpha, err = p.aux.own.Decrypt(d); err != nil {
		return err
	}
	if s.alphaHat, err = p.aux.own.Decrypt(dHat); err != nil {
		return err
	}
	// δ = γk + Σ(α + β): F holds -β, so it is subtracted.
	s.deltaInt, s.chiInt = s.gammaInt.Mul(s.kInt).Add(s.alpha), s.xInt.Mul(s.kInt).Add(s.alphaHat)
	for j := range s.beta {
		s.deltaInt, s.chiInt = s.deltaInt.Sub(s.beta[j]), s.chiInt.Sub(s.betaHat[j])
	}
	s.chi = zk.ScalarOf(s.chiInt)
	m := deltaMessage{delta: zk.ScalarOf(s.deltaInt), bigDelta: p.gamma.Mul(s.k), bigS: p.gamma.Mul(s.chi)}
	m.proof = params.ProveElog(p.context(self, 0, "Δ"), elogDelta(p.nonces[self], m.bigDelta, p.gamma), s.a, s.k)
	p.deltas[self] = m
	p.broadcast(roundDelta, m.marshal())
	return nil
}

// checkDelta judges round 6 of one party.
func (s signing) checkDelta(from tss.PartyID, m nonceMessage, gamma *group.Point, payload []byte) (deltaMessage, string) {
	d, err := parseDelta(payload)
	if err != nil || params.VerifyElog(s.context(from, 0, "Δ"), elogDelta(m, d.bigDelta, gamma), d.proof) != nil {
		return d, CheckDelta
	}
	return d, ""
}

// finishDeltas is the paper's output: the sums, and a presignature when both are right.
func (p *Presign) finishDeltas() error {
	if err := p.inbox.CheckEchoes(roundDelta, p.notary.Open); err != nil {
		return err
	}
	for _, j := range p.others() {
		m, check := p.checkDelta(j, p.nonces[j], p.gamma, p.inbox.Get(roundDelta, j).Payload)
		if check != "" {
			return p.faultDelta(j)
		}
		p.deltas[j] = m
	}
	delta, alert := p.sums(p.deltas)
	if alert != noAlert {
		return p.raise(alert)
	}
	if delta.IsZero() {
		return errors.New("sum of δ is zero")
	}
	return p.output(delta)
}

// faultDelta convicts with the message, the party's own first message, and its own echo of the others' Γ... which it summed:
// the base of the proof is the sum of all Γ, each fixed by its maker's commitment in round 1, which the party echoed.
func (p *Presign) faultDelta(j tss.PartyID) error {
	list := [][]byte{p.inbox.Get(roundDelta, j).Signed, p.inbox.Get(roundNonces2, j).Signed}
	list = append(list, p.originals(roundGamma, p.signing.session.IDs())...)
	return &tss.Fault{Party: j, Round: roundDelta, Check: CheckDelta, Evidence: tss.EncodeEvidence(list...)}
}

// output divides by δ and keeps what checks partial signatures.
func (p *Presign) output(delta *group.Scalar) error {
	inv, err := delta.Invert()
	if err != nil {
		return err
	}
	t := transcript.New("chancery/cggmp24/presignature/v1")
	t.Bytes("session", p.signing.id[:])
	t.Bytes("gamma", p.gamma.Bytes())
	out := &Presignature{id: t.Sum(), public: p.public, self: p.self(), signers: p.signing.session.IDs(), gamma: p.gamma,
		k: p.sec.k.Mul(inv), chi: p.sec.chi.Mul(inv), deltas: map[tss.PartyID]*group.Point{}, sums: map[tss.PartyID]*group.Point{}}
	for j, m := range p.deltas {
		v := curve.MultiMulVartime
		out.deltas[j] = v([]*group.Scalar{inv}, []*group.Point{m.bigDelta})
		out.sums[j] = v([]*group.Scalar{inv}, []*group.Point{m.bigS})
	}
	p.result, p.finished = out, true
	p.sec.erase()
	return nil
}

// Result is the presignature. The caller owns it.
func (p *Presign) Result() (*Presignature, bool) { return p.result, p.finished }

// Close erases every secret of a run. It may be called twice.
func (p *Presign) Close() {
	if !p.finished {
		p.dead = true
	}
	p.sec.erase()
}
