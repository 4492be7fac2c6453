package zk

import (
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"sync"
	"testing"

	"chancery.dev/internal/arith"
	"chancery.dev/internal/group"
	"chancery.dev/internal/paillier"
)

// small is the least parameters that hold the relations, with few repetitions: what is tested here is the checks, not the
// sizes. A proof with them forges with probability 2^-8 at best.
func small() Params { return Params{L: 256, Eps: 512, LPrime: 1280, Reps: 8, Modulus: 2432} }

// party is one party's keys.
type party struct {
	own *paillier.SecretKey
	ped *paillier.PedersenSecret
}

func (p party) public(t testing.TB) *paillier.PublicKey {
	t.Helper()
	k, err := paillier.NewPublicKey(p.own.N().Big(), p.own.N().Big().BitLen())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (p party) pedersen(t testing.TB) *paillier.Pedersen {
	t.Helper()
	r, err := paillier.NewPedersen(p.ped.N().Big(), p.ped.S(), p.ped.T(), p.ped.N().Big().BitLen())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// parties are two parties whose keys are made once.
var parties = sync.OnceValue(func() [2]party {
	var out [2]party
	for i := range out {
		p, q, ph, qh := testPrime(4*i), testPrime(4*i+1), testPrime(4*i+2), testPrime(4*i+3)
		own, err := paillier.NewSecretKey(p, q)
		if err != nil {
			panic(err)
		}
		ped, err := paillier.GeneratePedersen(ph, qh)
		if err != nil {
			panic(err)
		}
		out[i] = party{own, ped}
	}
	return out
})

// testPrimes are safe primes of 1216 bits that everybody knows.
var testPrimes = []string{
	"f2687d40d1a5e2fd0c6850a12f6027bf41ac66b5e9bb5bec7d9d782d45f9c3fe77988ff240a478e833cde83d85854731643218158a75307ff786c60613a30462af37f984fb27d9d67947c7e1019db0f6c679a94781d3a8b672afd73d508af4aa16be857edde703ca999f3e1845a2f8710d6986a85b8a225f728c75243bc1501db92e555dce885967b67be5c992d36806cbb4ca7ba4699867",
	"c4a6fdfcd6fdde822433c834caa1750087c8a6644ba35c92416f6dbe603843d51182eb6c1fd79bb23153a878292451dc2c35b4e7a56b13101132398f05d9004fd452430a23ff1c083c4a8c27321d6e5763a45aecb6bed39dc75cbb019401140ca13b4986187849dc89e670281cf736dcdd3783aeb807b3e6d735900f196d222da82ec42278a0ce9f4a6cfc5ce7a196fae766a79c788f119f",
	"f57d37f42270795a92d86753d99fc936dbcc1048bf9eb0323435169b068c0158f49a9066d223110c0381d03f41460dbcb6eb5f50a128f44d6a902e0d48d9f0a10fda5ffc97393845da83686f540d0a155c283b50d372b16bed42be488a55d83cac6894d45808c7b24033ba8bbd6f68318ee2585cde8b568fe2403623d509cf8789da0efdcea994c3b3e35f9601055373f1506c7068fd8837",
	"d5bcd9d7ed90d0b62718e22996bdd016d9cbc01904088cb82eb1e87b96dca939b852593d7046e568d1b50822652e587913e462c2646764a9db379c450bdcb767a857e42d7bb54ddc532804d1850dfc0906a7abff505270528e04781df084e773ec44f84f3f08bbdcdce2cbc4f06964e4d764f87281a1c4865d1ece038884fbd22e981de159c1f510bf9cd4a9f8a17f87e2061a8903e2a9ab",
	"f40da7398ae85618fc52cd742ae6ba69ba96ea84b172acff30d321de5090789902397574c46dfd71627ddb48a462f01bef10d2fdffcd60a7a3ea07ff7f9e66deb4506b38551a027065dfd0cf633ff955c6045cf9ecba5bb8cc60ce17c64c8e15a6f135ccf2c4d47f41531cfae151a43f7ff3bbca5b056d516e7da1a64f8d0ec03296de0cae8396ac550b3b3f8f6ea6be3563b57f9940056f",
	"c9c3d17b6004c920c8c81e26a99c3f0a77c4636ac5380b0804085037ba27d642456c7e71be5aea52002745fc650e27fcc7a5aef8d413ee2a05f50cbfa063723f6ca1df6c27e6aafddb0edd4793d72d80fb20005311dbd3c47138df0fe47b53b47dc5e1b72e7ac5d966c6923b046a1279b25897fad19877987965f10957eb3572c030f9b1812b5280c0229f68e6d1f7ae45cb472b76114c57",
	"e4c9e17d4eaa163de55e408ee35816c29020fb319a17b7e926b06d91b6f5460afe1be04f40b553bf591c504c96b222f4a52c8984e57ad24d91d14c45a878702fa3dc52ed4712cf6748a944538adbaa49e8e70b1287b425d6bd6952b3b28ab175006640754654041046e7747fb186cd2222da8fa8b1210720f56f9c0af4e5a81556f28fa75b7e36b14c1fe360f661ba3a8a6649383dbf243f",
	"cb99f9443e5470eb2e9c43df72ee87a9bcf49a9c22546c0a4a27cc82b27e1453cb88a9bc6558def94b2047efcfaa7666849d61ff32480831192c0a607bab8e50909c2bd3e83a8be3d3a4c91dcf2bd9fdf6d1b4a881b9e93aa7dfe7640c99b249d6bd91a77f43fbc1c2adc3ed1db78fba3e5d7689503eee100b50acbee5c996ca11aef7364050d569467cd9c179636195a396310684ba908b",
}

func testPrime(i int) *arith.Int {
	v, ok := new(big.Int).SetString(testPrimes[i], 16)
	if !ok {
		panic("no prime")
	}
	return arith.NewInt(v)
}

func context() Context {
	return Context{Session: [32]byte{1}, Prover: 1, Verifier: 2, Role: "test", Index: 3}
}

func randomScalarInt() (*group.Scalar, *arith.Int) {
	s := curve.RandomScalar()
	return s, IntOf(s)
}

// example is one proof of one kind, with its verifier. verify judges a proof under a context; statements are verifiers for
// statements that are not the proved one.
type example struct {
	name       string
	proof      any
	verify     func(Params, Context, any) error
	statements map[string]func(Params, Context, any) error
	marshal    func() []byte
	unmarshal  func([]byte) (any, error)
}

func failed(err error) string {
	var f *Failure
	if errors.As(err, &f) {
		return f.Check
	}
	return ""
}

// clone copies a proof deeply, so that a test can change it.
func clone(v any) any {
	src := reflect.ValueOf(v).Elem()
	dst := reflect.New(src.Type())
	copyValue(dst.Elem(), src)
	return dst.Interface()
}

func copyValue(dst, src reflect.Value) {
	switch src.Kind() {
	case reflect.Struct:
		for i := range src.NumField() {
			copyValue(dst.Field(i), src.Field(i))
		}
	case reflect.Slice:
		dst.Set(reflect.MakeSlice(src.Type(), src.Len(), src.Len()))
		for i := range src.Len() {
			copyValue(dst.Index(i), src.Index(i))
		}
	default:
		if b, ok := src.Interface().(*big.Int); ok {
			dst.Set(reflect.ValueOf(new(big.Int).Set(b)))
			return
		}
		dst.Set(src)
	}
}

// fieldsOf are pointers to the values in a proof, by name, found by reflection; of lists the first and the last.
func fieldsOf(v any) map[string]reflect.Value {
	out := map[string]reflect.Value{}
	s := reflect.ValueOf(v).Elem()
	for i := range s.NumField() {
		f, name := s.Field(i), s.Type().Field(i).Name
		if f.Kind() != reflect.Slice {
			out[name] = f
			continue
		}
		for _, j := range []int{0, f.Len() - 1} { // all are checked by one loop
			out[fmt.Sprintf("%s[%d]", name, j)] = f.Index(j)
		}
	}
	return out
}

// spoils are ways to change a value of each type.
func spoils(f reflect.Value) map[string]any {
	switch v := f.Interface().(type) {
	case *big.Int:
		return map[string]any{
			"plus one": new(big.Int).Add(v, one), "minus one": new(big.Int).Sub(v, one), "zero": new(big.Int), "negated": new(big.Int).Neg(v),
			"doubled": new(big.Int).Lsh(v, 1), "one": big.NewInt(1), "huge": new(big.Int).Lsh(one, 20000), "minus huge": new(big.Int).Neg(new(big.Int).Lsh(one, 20000)),
		}
	case *group.Point:
		return map[string]any{"plus G": v.Add(curve.Generator()), "negated": v.Neg(), "generator": curve.Generator(), "identity": curve.Identity()}
	case *group.Scalar:
		return map[string]any{"plus one": v.Add(curve.ScalarFromUint64(1)), "negated": v.Neg(), "zero": curve.Zero(), "one": curve.ScalarFromUint64(1)}
	case bool:
		return map[string]any{"flipped": !v}
	}
	return nil
}

func same(a, b any) bool {
	switch x := a.(type) {
	case *big.Int:
		return x.Cmp(b.(*big.Int)) == 0
	case *group.Point:
		return x.Equal(b.(*group.Point))
	case *group.Scalar:
		return x.Equal(b.(*group.Scalar))
	}
	return a == b
}

func TestProofsVerifyAndSurviveEncoding(t *testing.T) {
	p := small()
	for _, e := range examples(t, p) {
		if err := e.verify(p, context(), e.proof); err != nil {
			t.Errorf("%s: honest proof: %v", e.name, err)
			continue
		}
		raw := e.marshal()
		back, err := e.unmarshal(raw)
		if err != nil {
			t.Errorf("%s: %v", e.name, err)
			continue
		}
		if err := e.verify(p, context(), back); err != nil {
			t.Errorf("%s: after encoding: %v", e.name, err)
		}
		for name, other := range map[string][]byte{"cut": raw[:len(raw)-1], "longer": append(append([]byte(nil), raw...), 0), "empty": nil} {
			if _, err := e.unmarshal(other); err == nil {
				t.Errorf("%s: %s encoding was read", e.name, name)
			}
		}
	}
}

// Every change of every field is refused by a named check.
func TestEveryFieldIsChecked(t *testing.T) {
	p := small()
	for _, e := range examples(t, p) {
		cases := 0
		for name, field := range fieldsOf(e.proof) {
			if len(spoils(field)) == 0 {
				t.Errorf("%s: field %s has a type that is not spoilt", e.name, name)
			}
			for how, value := range spoils(field) {
				if same(value, field.Interface()) {
					continue
				}
				bad := clone(e.proof)
				fieldsOf(bad)[name].Set(reflect.ValueOf(value))
				cases++
				if err := e.verify(p, context(), bad); failed(err) == "" {
					t.Errorf("%s: %s %s: %v", e.name, name, how, err)
				}
			}
		}
		// Lists of another length.
		s := reflect.ValueOf(e.proof).Elem()
		for i := range s.NumField() {
			if s.Field(i).Kind() != reflect.Slice {
				continue
			}
			for _, length := range []int{0, s.Field(i).Len() - 1} {
				bad := clone(e.proof)
				f := reflect.ValueOf(bad).Elem().Field(i)
				f.Set(f.Slice(0, length))
				cases++
				if failed(e.verify(p, context(), bad)) == "" {
					t.Errorf("%s: %s of length %d passes", e.name, s.Type().Field(i).Name, length)
				}
			}
		}
		t.Logf("%s: %d spoilt proofs refused", e.name, cases)
	}
}

// A proof holds for its session, prover, verifier, role, place and parameters alone. With one-bit challenges another
// transcript has the same bits by chance; 40 repetitions leave nothing to luck.
func TestProofsAreBound(t *testing.T) {
	p := small()
	p.Reps = 40
	changes := map[string]func(*Params, *Context){
		"session": func(_ *Params, c *Context) { c.Session[31]++ }, "prover": func(_ *Params, c *Context) { c.Prover++ },
		"verifier": func(_ *Params, c *Context) { c.Verifier++ }, "role": func(_ *Params, c *Context) { c.Role += "x" },
		"index": func(_ *Params, c *Context) { c.Index++ }, "slack": func(p *Params, _ *Context) { p.Eps++ },
	}
	for i := range reflect.TypeFor[Context]().NumField() {
		found := false
		for name := range changes {
			found = found || equalFold(name, reflect.TypeFor[Context]().Field(i).Name)
		}
		if !found {
			t.Errorf("field %s of Context is not known to this test", reflect.TypeFor[Context]().Field(i).Name)
		}
	}
	for _, e := range examples(t, p) {
		for name, change := range changes {
			other, c := p, context()
			change(&other, &c)
			if failed(e.verify(other, c, e.proof)) == "" {
				t.Errorf("%s: passes with another %s", e.name, name)
			}
		}
		if len(e.statements) == 0 {
			t.Errorf("%s: no other statements", e.name)
		}
		for name, verify := range e.statements {
			if failed(verify(p, context(), e.proof)) == "" {
				t.Errorf("%s: passes for another statement: %s", e.name, name)
			}
		}
	}
}

func equalFold(a, b string) bool {
	return len(a) == len(b) && (a[0]|0x20) == (b[0]|0x20) && a[1:] == b[1:]
}

func TestParamsValidate(t *testing.T) {
	for _, p := range []Params{Standard(), small()} {
		if err := p.Validate(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	for name, change := range map[string]func(*Params){
		"small ℓ": func(p *Params) { p.L = 255 }, "small ε": func(p *Params) { p.Eps = 511 }, "small ℓ'": func(p *Params) { p.LPrime = 1279 },
		"small modulus": func(p *Params) { p.Modulus = 1792 }, "odd modulus": func(p *Params) { p.Modulus = 3073 }, "huge modulus": func(p *Params) { p.Modulus = 3200 },
		"no repetitions": func(p *Params) { p.Reps = 0 }, "many repetitions": func(p *Params) { p.Reps = MaxReps + 1 },
	} {
		p := Standard()
		change(&p)
		if p.Validate() == nil {
			t.Errorf("%s: valid", name)
		}
	}
	if s := Standard(); s.Reps < 128 || s.Modulus < 3072 || s.L != 256 || s.Eps < 512 || s.LPrime < 1280 {
		t.Errorf("the standard parameters are below their level: %+v", s)
	}
}
