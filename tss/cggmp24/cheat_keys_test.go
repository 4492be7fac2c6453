package cggmp24

import (
	"errors"
	"math/big"
	"slices"
	"testing"
	"testing/cryptotest"

	"chancery.dev/internal/group"
	"chancery.dev/internal/paillier"
	"chancery.dev/internal/shamir"
	"chancery.dev/internal/transcript"
	"chancery.dev/internal/zk"
	"chancery.dev/tss"
)

// Cheaters in dealings and in making auxiliary information.

// reopen makes party 1 commit to another opening than its own, and go on with it.
func reopen(c *course, kind string, forge func() []byte) func(tss.Envelope, tss.PartyID) []tss.Envelope {
	var opening []byte
	return func(e tss.Envelope, _ tss.PartyID) []tss.Envelope {
		if e.From != 1 || e.Round != roundCommit && e.Round != roundOpen {
			return []tss.Envelope{e}
		}
		if opening == nil {
			opening = forge()
		}
		e.Payload = opening
		if e.Round == roundCommit {
			v := commitmentTo(e.Session, kind, 1, opening)
			e.Payload = v[:]
		}
		e.Signed = seal(e)
		adopt(c.machines[1], e)
		return []tss.Envelope{e}
	}
}

// scenarioOf finds a protocol ready to run.
func scenarioOf(t testing.TB, name string) *scenario {
	t.Helper()
	all := scenarios(t)
	return all[slices.IndexFunc(all, func(s *scenario) bool { return s.name == name })]
}

// dealings are key generation, refresh and resharing.
var dealings = []string{"keygen", "refresh", "reshare"}

func polynomial(t testing.TB, constant *group.Scalar, degree int) *shamir.Polynomial {
	t.Helper()
	p, err := shamir.NewPolynomial(constant, degree)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// With other constant terms and degrees than the plan's, all shares fit: only the length of the commitment tells.
func TestDealerMayNotChangeTheThreshold(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 11)
	for _, name := range dealings {
		s := scenarioOf(t, name)
		for _, degree := range []int{0, 2, 3, 62} { // 1 is right
			c := s.begin(t)
			d := c.machines[1].(*Dealing)
			c.wire = reopen(c, "dealing", func() []byte {
				d.poly = polynomial(t, d.poly.Constant(), degree)
				d.own.polynomial = d.poly.Commit()
				return d.own.marshal(d.plan, 1)
			})
			mustName(t, c, s.context, []string{CheckPolynomial}, 1)
		}
	}
}

func TestDealerMayNotZeroTheLeadingCoefficient(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 12)
	for _, name := range dealings {
		s := scenarioOf(t, name)
		c := s.begin(t)
		d := c.machines[1].(*Dealing)
		c.wire = reopen(c, "dealing", func() []byte {
			d.own.polynomial = append(d.own.polynomial[:1:1], curve.Identity())
			return d.own.marshal(d.plan, 1)
		})
		mustName(t, c, s.context, []string{CheckOpening}, 1)
	}
}

// A dealer of a resharing deals its share and nothing else; a dealer of a refresh deals zero, which is not even sent.
func TestConstantTermIsGiven(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 13)
	s := scenarioOf(t, "reshare")
	c := s.begin(t)
	d := c.machines[1].(*Dealing)
	c.wire = reopen(c, "dealing", func() []byte {
		d.poly = polynomial(t, curve.RandomScalar(), 1)
		d.own.polynomial = d.poly.Commit()
		return d.own.marshal(d.plan, 1)
	})
	mustName(t, c, s.context, []string{CheckPolynomial}, 1)

	s = scenarioOf(t, "refresh")
	c = s.begin(t)
	d = c.machines[1].(*Dealing)
	d.poly = polynomial(t, curve.RandomScalar(), 1) // the shares are of another polynomial than the commitment
	mustName(t, c, s.context, []string{CheckShare}, 1)
}

// A rushing party sees what others say before it speaks; what it said before binds it, and nothing of others' fits it.
func TestRogueKeys(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 14)
	for _, name := range []string{"keygen", "reshare"} {
		s := scenarioOf(t, name)
		heard := func(c *course, round uint8) []byte {
			i := slices.IndexFunc(c.pending, func(e tss.Envelope) bool { return e.Round == round && e.From == 3 })
			return c.pending[i].Payload
		}
		copied := func(c *course, rounds ...uint8) func(tss.Envelope, tss.PartyID) []tss.Envelope {
			return func(e tss.Envelope, _ tss.PartyID) []tss.Envelope {
				if e.From == 1 && slices.Contains(rounds, e.Round) {
					e.Payload = heard(c, e.Round)
					e.Signed = seal(e)
					adopt(c.machines[1], e)
				}
				return []tss.Envelope{e}
			}
		}
		for what, rounds := range map[string][]uint8{"commitment and opening": {roundCommit, roundOpen}, "commitment": {roundCommit}, "opening": {roundOpen}} {
			c := s.begin(t)
			c.last, c.wire = 1, copied(c, rounds...)
			t.Run(name+" copies the "+what, func(t *testing.T) { mustName(t, c, s.context, []string{CheckOpening}, 1) })
		}
		t.Run(name+" cancels another's constant term", func(t *testing.T) {
			c := s.begin(t)
			d := c.machines[1].(*Dealing)
			c.wire = func(e tss.Envelope, _ tss.PartyID) []tss.Envelope {
				if e.From == 1 && e.Round == roundOpen {
					theirs, _ := d.plan.parseOpening(3, heard(c, roundOpen))
					d.own.polynomial[0] = d.own.polynomial[0].Sub(theirs.polynomial[0])
					e.Payload = d.own.marshal(d.plan, 1)
					e.Signed = seal(e)
				}
				return []tss.Envelope{e}
			}
			mustName(t, c, s.context, []string{CheckOpening}, 1)
		})
		t.Run(name+" commits to what it does not know", func(t *testing.T) {
			c := s.begin(t)
			d := c.machines[1].(*Dealing)
			c.wire = reopen(c, "dealing", func() []byte {
				d.own.polynomial[1] = curve.BaseMul(curve.RandomScalar())
				return d.own.marshal(d.plan, 1)
			})
			mustName(t, c, s.context, []string{CheckShare}, 1)
		})
	}
}

// The proof of the share is of this share, by this party, in this session.
func TestProofOfTheShareCannotBeBorrowed(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 15)
	for _, name := range []string{"keygen", "refresh"} {
		s := scenarioOf(t, name)
		for what, prove := range map[string]func(d *Dealing, share *group.Scalar, rid []byte) *zk.Sch{
			"of another party": func(d *Dealing, x *group.Scalar, rid []byte) *zk.Sch {
				return params.Respond(shareContext(d.id, 2), d.nonce, x, rid)
			},
			"of another session": func(d *Dealing, x *group.Scalar, rid []byte) *zk.Sch {
				return params.Respond(shareContext(tss.SessionID{1}, 1), d.nonce, x, rid)
			},
			"without joint chance": func(d *Dealing, x *group.Scalar, _ []byte) *zk.Sch {
				return params.Respond(shareContext(d.id, 1), d.nonce, x, nil)
			},
			"of another share": func(d *Dealing, x *group.Scalar, rid []byte) *zk.Sch {
				return params.Respond(shareContext(d.id, 1), d.nonce, x.Neg(), rid)
			},
			"by another commitment": func(d *Dealing, x *group.Scalar, rid []byte) *zk.Sch {
				return params.Respond(shareContext(d.id, 1), zk.NewSchNonce(), x, rid)
			},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				c := s.begin(t)
				d := c.machines[1].(*Dealing)
				nonce := *d.nonce
				d.nonce = zk.NewSchNonce() // what the machine proves with
				c.wire = resend(1, roundVerdict, func(e tss.Envelope, _ tss.PartyID) []byte {
					d.nonce = &nonce
					proof := prove(d, d.pending.share, d.pending.public.rid[:])
					nonce.A = proof.A
					return append(slices.Clone(e.Payload[:33]), proof.Z.Bytes()...)
				})
				mustName(t, c, s.context, []string{CheckProof}, 1)
			})
		}
	}
}

// A complaint names the dealer when the share is bad, and the complainer when it is not, or shows nothing of the sort.
func TestFalseComplaints(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 16)
	for _, name := range dealings {
		s := scenarioOf(t, name)
		complainer := tss.PartyID(3)
		for what, show := range map[string]func(c *course) []byte{
			"about a right share":      func(c *course) []byte { return c.machines[3].(*Dealing).inbox.Get(roundShare, 1).Signed },
			"with a share for another": func(c *course) []byte { return c.machines[2].(*Dealing).inbox.Get(roundShare, 1).Signed },
			"with another message":     func(c *course) []byte { return c.machines[3].(*Dealing).inbox.Get(roundOpen, 1).Signed },
			"with nothing":             func(*course) []byte { return []byte{0} },
			"with its own bad invention": func(c *course) []byte {
				e := c.machines[3].(*Dealing).inbox.Get(roundShare, 1)
				e.Payload = curve.RandomScalar().Bytes()
				return append(slices.Clone(e.Signed[:64]), seal(e)[64:]...)
			},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				c := s.begin(t)
				c.wire = resend(complainer, roundVerdict, func(tss.Envelope, tss.PartyID) []byte { return append([]byte{verdictComplaint}, show(c)...) })
				mustName(t, c, s.context, []string{CheckComplaint}, complainer)
			})
		}
		t.Run(name+" a bad share for one", func(t *testing.T) {
			c := s.begin(t)
			c.wire = resend(1, roundShare, func(e tss.Envelope, to tss.PartyID) []byte {
				if to == 2 {
					return curve.RandomScalar().Bytes()
				}
				return e.Payload
			})
			mustName(t, c, s.context, []string{CheckShare}, 1)
		})
	}
}

// withOpening runs the making of auxiliary information with an opening that party 1 chose, and proofs that it chose.
func withOpening(t *testing.T, choose func(*auxOpening), prove func(a *Auxiliary, e tss.Envelope) []byte) (*course, Context) {
	t.Helper()
	s := auxOfThree(t)
	c := s.at(t, roundAuxCommit)
	a := c.machines[1].(*Auxiliary)
	o := a.opening
	choose(&o)
	open := reopen(c, "aux", o.marshal)
	c.last = 1
	c.wire = func(e tss.Envelope, to tss.PartyID) []tss.Envelope {
		if prove != nil && e.From == 1 && (e.Round == roundAuxMod || e.Round == roundAuxFac) {
			e.Payload = prove(a, e)
			e.Signed = seal(e)
			if e.Round == roundAuxMod {
				adopt(a, e)
			}
		}
		return open(e, to)
	}
	return c, s.context
}

var auxThree *scenario

func auxOfThree(t testing.TB) *scenario {
	t.Helper()
	if auxThree == nil {
		auxThree = scenarioOf(t, "auxiliary")
	}
	return auxThree
}

func below(bits uint, k int64) *big.Int {
	v := new(big.Int).Lsh(big.NewInt(1), bits)
	return v.Sub(v, big.NewInt(k))
}

func TestBadModuliAreNamed(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 17)
	prime := below(2432, 4277)
	if !prime.ProbablyPrime(1) {
		t.Fatal("no prime")
	}
	theirs := func(id tss.PartyID) (n, nHat *big.Int) {
		p := primesOf(id)
		return p.P.Mul(p.Q).Reveal(), p.PHat.Mul(p.QHat).Reveal()
	}
	n2, nHat2 := theirs(2)
	one := big.NewInt(1)
	for name, c := range map[string]struct {
		check  string
		choose func(o *auxOpening)
	}{
		"prime N":                 {CheckMod, func(o *auxOpening) { o.n = prime }},
		"N of another":            {CheckMod, func(o *auxOpening) { o.n = n2 }},
		"N is another's N̂":       {CheckMod, func(o *auxOpening) { o.n = nHat2 }},
		"N next to its own":       {CheckMod, func(o *auxOpening) { o.n = new(big.Int).Add(o.n, big.NewInt(2)) }},
		"even N":                  {CheckModulus, func(o *auxOpening) { o.n = new(big.Int).Sub(o.n, one) }},
		"even N̂":                 {CheckModulus, func(o *auxOpening) { o.nHat = new(big.Int).Sub(o.nHat, one) }},
		"N zero":                  {CheckModulus, func(o *auxOpening) { o.n = new(big.Int) }},
		"N one":                   {CheckModulus, func(o *auxOpening) { o.n = one }},
		"N too short":             {CheckModulus, func(o *auxOpening) { o.n = below(2431, 1) }},
		"N̂ too short":            {CheckModulus, func(o *auxOpening) { o.nHat = below(2431, 1) }},
		"N is N̂":                 {CheckModulus, func(o *auxOpening) { o.n = o.nHat }},
		"s = 1":                   {CheckModulus, func(o *auxOpening) { o.s = one }},
		"t = 1":                   {CheckModulus, func(o *auxOpening) { o.t = one }},
		"s = -1":                  {CheckModulus, func(o *auxOpening) { o.s = new(big.Int).Sub(o.nHat, one) }},
		"t = -1":                  {CheckModulus, func(o *auxOpening) { o.t = new(big.Int).Sub(o.nHat, one) }},
		"s = 0":                   {CheckModulus, func(o *auxOpening) { o.s = new(big.Int) }},
		"t = N̂":                  {CheckModulus, func(o *auxOpening) { o.t = o.nHat }},
		"s = t":                   {CheckModulus, func(o *auxOpening) { o.s = o.t }},
		"s above N̂":              {CheckModulus, func(o *auxOpening) { o.s = below(2432, 1) }},
		"s a factor":              {CheckModulus, func(o *auxOpening) { o.s = primesOf(1).PHat.Reveal() }},
		"s = -t^λ":                {CheckPrm, func(o *auxOpening) { o.s = new(big.Int).Sub(o.nHat, o.s) }},
		"N̂ of another":           {CheckPrm, func(o *auxOpening) { o.nHat = nHat2 }},
		"no Πprm":                 {CheckPrm, func(o *auxOpening) { o.prm = nil }},
		"fewer repetitions in it": {CheckPrm, func(o *auxOpening) { o.prm = o.prm[:len(o.prm)-2*modulusLen()] }},
		"more repetitions in it":  {CheckPrm, func(o *auxOpening) { o.prm = slices.Concat(o.prm, o.prm[:2*modulusLen()]) }},
	} {
		t.Run(name, func(t *testing.T) {
			run, context := withOpening(t, func(o *auxOpening) {
				c.choose(o)
				for c.check == CheckPrm && holds(t, *o) { // by luck: tests have few repetitions
					o.s = new(big.Int).Mod(new(big.Int).Mul(o.s, o.t), o.nHat)
				}
			}, nil)
			mustName(t, run, context, []string{c.check}, 1)
		})
	}
}

// holds says whether an opening of party 1 passes every check.
func holds(t testing.TB, o auxOpening) bool {
	t.Helper()
	id, b := auxOfThree(t).context.Session.ID(), o.marshal()
	v := commitmentTo(id, "aux", 1, b)
	_, _, check := checkAuxOpening(id, 1, v[:], b)
	return check == ""
}

// Another's ring-Pedersen key, proof and all, is no key of party 1's: Πprm is bound to its maker.
func TestRingPedersenKeyCannotBeBorrowed(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 18)
	two := auxOfThree(t).at(t, roundAuxCommit).machines[2].(*Auxiliary).opening
	run, context := withOpening(t, func(o *auxOpening) { o.nHat, o.s, o.t, o.prm = two.nHat, two.s, two.t, two.prm }, nil)
	mustName(t, run, context, []string{CheckPrm}, 1)
	// With bases of its own over another's modulus the proof can be made. The owner of the modulus knows who took it.
	o2, self := two, tss.PartyID(1)
	run, _ = withOpening(t, func(o *auxOpening) {
		o.nHat = o2.nHat
		p := primesOf(2)
		ped, err := paillier.GeneratePedersen(p.PHat, p.QHat)
		if err != nil {
			t.Fatal(err)
		}
		prm, err := params.ProvePrm(auxContext(auxOfThree(t).context.Session.ID(), self, 0, "prm", [32]byte{}), ped)
		if err != nil {
			t.Fatal(err)
		}
		o.s, o.t, o.prm = ped.S(), ped.T(), prm.Marshal(params)
	}, nil)
	run.finish()
	var fault *tss.Fault
	if !errors.As(run.errs[2], &fault) || fault.Party != 1 || fault.Check != CheckModulus || len(fault.Evidence) != 0 {
		t.Errorf("party 2: %v", run.errs[2])
	}
	if errors.As(run.errs[3], &fault) || run.errs[3] == nil {
		t.Errorf("party 3: %v", run.errs[3])
	}
}

// Proofs about a modulus are about this modulus, by this party, for this verifier, after everybody's randomness.
func TestProofsAboutModuliCannotBeBorrowed(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 19)
	for name, c := range map[string]struct {
		check string
		prove func(a *Auxiliary, e tss.Envelope) []byte
	}{
		"Πmod of another":            {CheckMod, func(a *Auxiliary, e tss.Envelope) []byte { return modOf(t, a, e, 2, a.rid) }},
		"Πmod before the randomness": {CheckMod, func(a *Auxiliary, e tss.Envelope) []byte { return modOf(t, a, e, 1, [32]byte{}) }},
		"Πfac of another":            {CheckFac, func(a *Auxiliary, e tss.Envelope) []byte { return facOf(t, a, e, 2, e.To, a.rid) }},
		"Πfac for another":           {CheckFac, func(a *Auxiliary, e tss.Envelope) []byte { return facOf(t, a, e, 1, 5-e.To, a.rid) }},
		"Πfac before the randomness": {CheckFac, func(a *Auxiliary, e tss.Envelope) []byte { return facOf(t, a, e, 1, e.To, [32]byte{}) }},
	} {
		t.Run(name, func(t *testing.T) {
			run, context := withOpening(t, func(*auxOpening) {}, c.prove)
			mustName(t, run, context, []string{c.check}, 1)
		})
	}
}

func modOf(t testing.TB, a *Auxiliary, e tss.Envelope, prover tss.PartyID, rid [32]byte) []byte {
	t.Helper()
	if e.Round != roundAuxMod {
		return e.Payload
	}
	proof, err := params.ProveMod(auxContext(a.id, prover, 0, "mod", rid), a.own)
	if err != nil {
		t.Fatal(err)
	}
	return proof.Marshal(params)
}

func facOf(t testing.TB, a *Auxiliary, e tss.Envelope, prover, verifier tss.PartyID, rid [32]byte) []byte {
	t.Helper()
	if e.Round != roundAuxFac {
		return e.Payload
	}
	st := zk.FacStatement{Key: a.own.PublicKey, Ped: a.public[verifier].Pedersen}
	proof, err := params.ProveFac(auxContext(a.id, prover, verifier, "fac", rid), st, a.own)
	if err != nil {
		t.Fatal(err)
	}
	return proof.Marshal(params)
}

// A modulus with a small factor passes Πmod when its maker knows the factors; Πfac is what it cannot make.
func TestSmallFactorIsNamed(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 20)
	p, q := below(128, 173), below(2304, 1857)
	n := new(big.Int).Mul(p, q)
	run, context := withOpening(t, func(o *auxOpening) { o.n = n }, func(a *Auxiliary, e tss.Envelope) []byte {
		if e.Round != roundAuxMod {
			return e.Payload // of its own modulus: the best that has responses in range
		}
		return modOfFactors(auxContext(a.id, 1, 0, "mod", a.rid), p, q).Marshal(params)
	})
	mustName(t, run, context, []string{CheckFac}, 1)
}

// modOfFactors is Πmod by primes of any sizes, 3 modulo 4.
func modOfFactors(c zk.Context, p, q *big.Int) *zk.Mod {
	n, one := new(big.Int).Mul(p, q), big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	root := func(x *big.Int) *big.Int { // principal square root modulo each, joined
		a, b := new(big.Int).ModSqrt(new(big.Int).Mod(x, p), p), new(big.Int).ModSqrt(new(big.Int).Mod(x, q), q)
		if big.Jacobi(a, p) != 1 {
			a.Sub(p, a)
		}
		if big.Jacobi(b, q) != 1 {
			b.Sub(q, b)
		}
		d := new(big.Int).Sub(a, b)
		d.Mul(d, new(big.Int).ModInverse(q, p)).Mod(d, p)
		return d.Mul(d, q).Add(d, b)
	}
	out := &zk.Mod{W: big.NewInt(2)}
	for big.Jacobi(out.W, n) != -1 {
		out.W.Add(out.W, one)
	}
	for _, y := range modChallenges(c, n, out.W) {
		for i := range 4 {
			turned := new(big.Int).Set(y)
			if i&2 == 2 {
				turned.Mul(turned, out.W)
			}
			if i&1 == 1 {
				turned.Neg(turned)
			}
			if turned.Mod(turned, n); big.Jacobi(new(big.Int).Mod(turned, p), p) == 1 && big.Jacobi(new(big.Int).Mod(turned, q), q) == 1 {
				out.X, out.A, out.B = append(out.X, root(root(turned))), append(out.A, i&1 == 1), append(out.B, i&2 == 2)
				break
			}
		}
		out.Z = append(out.Z, new(big.Int).Exp(y, new(big.Int).ModInverse(n, phi), n))
	}
	return out
}

// modChallenges are those of Πmod, written down a second time.
func modChallenges(c zk.Context, n, w *big.Int) []*big.Int {
	t := transcript.New("chancery/zk/mod/v1")
	for _, v := range []int{params.L, params.Eps, params.LPrime, params.Reps, params.Modulus} {
		t.Uint64("parameter", uint64(v))
	}
	t.Bytes("session", c.Session[:])
	t.Uint64("prover", uint64(c.Prover))
	t.Uint64("verifier", uint64(c.Verifier))
	t.String("role", c.Role)
	t.Uint64("index", uint64(c.Index))
	for _, v := range []struct {
		label string
		v     *big.Int
	}{{"statement", n}, {"commitment", w}} {
		t.Uint64(v.label+" sign", 2)
		t.Bytes(v.label, v.v.Bytes())
	}
	seed := t.Sum()
	out := make([]*big.Int, params.Reps)
	for i := range out {
		var wide []byte
		for block := range uint64(params.Modulus/256 + 1) {
			var a, b [8]byte
			a[7], b[7] = byte(i), byte(block)
			h := transcript.Hash("chancery/zk/mod/y/v1", seed[:], a[:], b[:])
			wide = append(wide, h[:]...)
		}
		out[i] = new(big.Int).SetBytes(wide[:params.Modulus/8+16])
		out[i].Mod(out[i], n)
	}
	return out
}
