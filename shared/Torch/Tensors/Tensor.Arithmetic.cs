using Qbb.Torch.Interop;

namespace Qbb.Torch;

/// <content>Element-wise arithmetic and comparison. A trailing underscore changes the tensor in place and returns it.</content>
public sealed partial class Tensor
{
    private static readonly Operator _add_Tensor = new("aten::add", "Tensor");
    private static readonly Operator _add_Scalar = new("aten::add", "Scalar");
    private static readonly Operator _add_inplace_Tensor = new("aten::add_", "Tensor");
    private static readonly Operator _add_inplace_Scalar = new("aten::add_", "Scalar");
    private static readonly Operator _sub_Tensor = new("aten::sub", "Tensor");
    private static readonly Operator _sub_Scalar = new("aten::sub", "Scalar");
    private static readonly Operator _sub_inplace_Tensor = new("aten::sub_", "Tensor");
    private static readonly Operator _sub_inplace_Scalar = new("aten::sub_", "Scalar");
    private static readonly Operator _mul_Tensor = new("aten::mul", "Tensor");
    private static readonly Operator _mul_Scalar = new("aten::mul", "Scalar");
    private static readonly Operator _mul_inplace_Tensor = new("aten::mul_", "Tensor");
    private static readonly Operator _mul_inplace_Scalar = new("aten::mul_", "Scalar");
    private static readonly Operator _div_Tensor = new("aten::div", "Tensor");
    private static readonly Operator _div_Scalar = new("aten::div", "Scalar");
    private static readonly Operator _div_inplace_Tensor = new("aten::div_", "Tensor");
    private static readonly Operator _div_inplace_Scalar = new("aten::div_", "Scalar");
    private static readonly Operator _addcmul_inplace = new("aten::addcmul_");
    private static readonly Operator _addcdiv_inplace = new("aten::addcdiv_");
    private static readonly Operator _addmm_inplace = new("aten::addmm_");
    private static readonly Operator _lerp_inplace_Scalar = new("aten::lerp_", "Scalar");
    private static readonly Operator _floor_divide = new("aten::floor_divide");
    private static readonly Operator _remainder_Scalar = new("aten::remainder", "Scalar");
    private static readonly Operator _neg = new("aten::neg");
    private static readonly Operator _abs = new("aten::abs");
    private static readonly Operator _sign = new("aten::sign");
    private static readonly Operator _exp = new("aten::exp");
    private static readonly Operator _log = new("aten::log");
    private static readonly Operator _sqrt = new("aten::sqrt");
    private static readonly Operator _rsqrt = new("aten::rsqrt");
    private static readonly Operator _square = new("aten::square");
    private static readonly Operator _pow_Tensor_Scalar = new("aten::pow", "Tensor_Scalar");
    private static readonly Operator _cos = new("aten::cos");
    private static readonly Operator _sin = new("aten::sin");
    private static readonly Operator _tanh = new("aten::tanh");
    private static readonly Operator _sigmoid = new("aten::sigmoid");
    private static readonly Operator _round = new("aten::round");
    private static readonly Operator _floor = new("aten::floor");
    private static readonly Operator _reciprocal = new("aten::reciprocal");
    private static readonly Operator _clamp = new("aten::clamp");
    private static readonly Operator _clamp_inplace = new("aten::clamp_");
    private static readonly Operator _maximum = new("aten::maximum");
    private static readonly Operator _minimum = new("aten::minimum");
    private static readonly Operator _isfinite = new("aten::isfinite");
    private static readonly Operator _logical_not = new("aten::logical_not");
    private static readonly Operator _logical_and = new("aten::logical_and");
    private static readonly Operator _logical_or = new("aten::logical_or");
    private static readonly Operator _bitwise_and_Scalar = new("aten::bitwise_and", "Scalar");
    private static readonly Operator _bitwise_left_shift_Tensor = new("aten::bitwise_left_shift", "Tensor");
    private static readonly Operator _bitwise_right_shift_Tensor = new("aten::bitwise_right_shift", "Tensor");
    private static readonly Operator _eq_Tensor = new("aten::eq", "Tensor");
    private static readonly Operator _eq_Scalar = new("aten::eq", "Scalar");
    private static readonly Operator _ne_Tensor = new("aten::ne", "Tensor");
    private static readonly Operator _ne_Scalar = new("aten::ne", "Scalar");
    private static readonly Operator _lt_Tensor = new("aten::lt", "Tensor");
    private static readonly Operator _lt_Scalar = new("aten::lt", "Scalar");
    private static readonly Operator _le_Tensor = new("aten::le", "Tensor");
    private static readonly Operator _le_Scalar = new("aten::le", "Scalar");
    private static readonly Operator _gt_Tensor = new("aten::gt", "Tensor");
    private static readonly Operator _gt_Scalar = new("aten::gt", "Scalar");
    private static readonly Operator _ge_Tensor = new("aten::ge", "Tensor");
    private static readonly Operator _ge_Scalar = new("aten::ge", "Scalar");

    public Tensor add(Tensor other) => _add_Tensor.Call(this, other);
    public Tensor add(Scalar other) => _add_Scalar.Call(this, other);
    public Tensor add_(Tensor other)
    {
        _add_inplace_Tensor.CallVoid(this, other);
        return this;
    }

    public Tensor add_(Scalar other)
    {
        _add_inplace_Scalar.CallVoid(this, other);
        return this;
    }

    public Tensor sub(Tensor other) => _sub_Tensor.Call(this, other);
    public Tensor sub(Scalar other) => _sub_Scalar.Call(this, other);
    public Tensor sub_(Tensor other)
    {
        _sub_inplace_Tensor.CallVoid(this, other);
        return this;
    }

    public Tensor sub_(Scalar other)
    {
        _sub_inplace_Scalar.CallVoid(this, other);
        return this;
    }

    public Tensor mul(Tensor other) => _mul_Tensor.Call(this, other);
    public Tensor mul(Scalar other) => _mul_Scalar.Call(this, other);
    public Tensor mul_(Tensor other)
    {
        _mul_inplace_Tensor.CallVoid(this, other);
        return this;
    }

    public Tensor mul_(Scalar other)
    {
        _mul_inplace_Scalar.CallVoid(this, other);
        return this;
    }

    public Tensor div(Tensor other) => _div_Tensor.Call(this, other);
    public Tensor div(Scalar other) => _div_Scalar.Call(this, other);
    public Tensor div_(Tensor other)
    {
        _div_inplace_Tensor.CallVoid(this, other);
        return this;
    }

    public Tensor div_(Scalar other)
    {
        _div_inplace_Scalar.CallVoid(this, other);
        return this;
    }

    /// <summary>this + alpha · other.</summary>
    public Tensor add(Tensor other, Scalar alpha) => _add_Tensor.Call(this, other, alpha);
    /// <summary>this += alpha · other.</summary>
    public Tensor add_(Tensor other, Scalar alpha)
    {
        _add_inplace_Tensor.CallVoid(this, other, alpha);
        return this;
    }

    /// <summary>this += value · a · b, element by element.</summary>
    public Tensor addcmul_(Tensor a, Tensor b, Scalar value)
    {
        _addcmul_inplace.CallVoid(this, a, b, value);
        return this;
    }

    /// <summary>this += value · a / b, element by element.</summary>
    public Tensor addcdiv_(Tensor a, Tensor b, Scalar value)
    {
        _addcdiv_inplace.CallVoid(this, a, b, value);
        return this;
    }

    /// <summary>this := beta · this + alpha · a b, matrices.</summary>
    public Tensor addmm_(Tensor a, Tensor b, Scalar beta, Scalar alpha)
    {
        _addmm_inplace.CallVoid(this, a, b, beta, alpha);
        return this;
    }

    /// <summary>this + weight · (end − this).</summary>
    public Tensor lerp_(Tensor end, Scalar weight)
    {
        _lerp_inplace_Scalar.CallVoid(this, end, weight);
        return this;
    }

    /// <summary>Floor of the quotient.</summary>
    public Tensor floor_divide(Tensor other) => _floor_divide.Call(this, other);
    /// <summary>Remainder with the divisor's sign.</summary>
    public Tensor remainder(Scalar other) => _remainder_Scalar.Call(this, other);
    public Tensor neg() => _neg.Call(this);
    public Tensor abs() => _abs.Call(this);
    /// <summary>−1, 0 or 1; beware that sign(0) is 0.</summary>
    public Tensor sign() => _sign.Call(this);
    public Tensor exp() => _exp.Call(this);
    public Tensor log() => _log.Call(this);
    public Tensor sqrt() => _sqrt.Call(this);
    public Tensor rsqrt() => _rsqrt.Call(this);
    public Tensor square() => _square.Call(this);
    public Tensor pow(Scalar exponent) => _pow_Tensor_Scalar.Call(this, exponent);
    public Tensor cos() => _cos.Call(this);
    public Tensor sin() => _sin.Call(this);
    public Tensor tanh() => _tanh.Call(this);
    public Tensor sigmoid() => _sigmoid.Call(this);
    /// <summary>Nearest integer, ties to even.</summary>
    public Tensor round() => _round.Call(this);
    public Tensor floor() => _floor.Call(this);
    public Tensor reciprocal() => _reciprocal.Call(this);
    public Tensor clamp(double? min = null, double? max = null) => _clamp.Call(this, min, max);
    public Tensor clamp_(double? min = null, double? max = null)
    {
        _clamp_inplace.CallVoid(this, min, max);
        return this;
    }

    /// <summary>Element by element.</summary>
    public Tensor maximum(Tensor other) => _maximum.Call(this, other);
    /// <summary>Element by element.</summary>
    public Tensor minimum(Tensor other) => _minimum.Call(this, other);
    public Tensor isfinite() => _isfinite.Call(this);
    public Tensor logical_not() => _logical_not.Call(this);
    public Tensor logical_and(Tensor other) => _logical_and.Call(this, other);
    public Tensor logical_or(Tensor other) => _logical_or.Call(this, other);
    public Tensor bitwise_and(Scalar other) => _bitwise_and_Scalar.Call(this, other);
    public Tensor bitwise_left_shift(Tensor other) => _bitwise_left_shift_Tensor.Call(this, other);
    public Tensor bitwise_right_shift(Tensor other) => _bitwise_right_shift_Tensor.Call(this, other);
    public Tensor eq(Tensor other) => _eq_Tensor.Call(this, other);
    public Tensor eq(Scalar other) => _eq_Scalar.Call(this, other);
    public Tensor ne(Tensor other) => _ne_Tensor.Call(this, other);
    public Tensor ne(Scalar other) => _ne_Scalar.Call(this, other);
    public Tensor lt(Tensor other) => _lt_Tensor.Call(this, other);
    public Tensor lt(Scalar other) => _lt_Scalar.Call(this, other);
    public Tensor le(Tensor other) => _le_Tensor.Call(this, other);
    public Tensor le(Scalar other) => _le_Scalar.Call(this, other);
    public Tensor gt(Tensor other) => _gt_Tensor.Call(this, other);
    public Tensor gt(Scalar other) => _gt_Scalar.Call(this, other);
    public Tensor ge(Tensor other) => _ge_Tensor.Call(this, other);
    public Tensor ge(Scalar other) => _ge_Scalar.Call(this, other);

    public static Tensor operator +(Tensor a, Tensor b) => a.add(b);
    public static Tensor operator +(Tensor a, Scalar b) => a.add(b);
    public static Tensor operator +(Scalar a, Tensor b) => b.add(a);
    public static Tensor operator -(Tensor a, Tensor b) => a.sub(b);
    public static Tensor operator -(Tensor a, Scalar b) => a.sub(b);
    public static Tensor operator -(Scalar a, Tensor b) => b.neg().add(a);
    public static Tensor operator *(Tensor a, Tensor b) => a.mul(b);
    public static Tensor operator *(Tensor a, Scalar b) => a.mul(b);
    public static Tensor operator *(Scalar a, Tensor b) => b.mul(a);
    public static Tensor operator /(Tensor a, Tensor b) => a.div(b);
    public static Tensor operator /(Tensor a, Scalar b) => a.div(b);
    public static Tensor operator /(Scalar a, Tensor b) => b.reciprocal().mul(a);
    public static Tensor operator -(Tensor a) => a.neg();
}
