using System.Reflection;
using static Qbb.Torch.torch;
using F = Qbb.Torch.torch.nn.functional;

namespace Qbb.Torch.Tests;

/// <summary>Every operator of the facade against values worked out by hand or by System.Math.</summary>
public partial class FacadeTests
{
    private const double Tolerance = 1e-6;

    private static Tensor V(params float[] values) => tensor(values);
    private static Tensor M => tensor<float>([1, -2, 3, 4, 5, -6], 2, 3);
    private static Tensor I(params long[] values) => tensor(values);
    private static double[] Map(Func<double, double> f, params double[] x) => [.. x.Select(f)];

    private static readonly (string Name, Func<Tensor> Run, double[] Expected)[] s_cases =
    [
        ("add", () => V(1, 2).add(V(3, 5)), [4, 7]),
        ("add", () => V(1, 2).add(3), [4, 5]),
        ("add", () => V(1, 2).add(V(3, 5), 2), [7, 12]),
        ("add_", () => V(1, 2).add_(V(3, 5)), [4, 7]),
        ("add_", () => V(1, 2).add_(1.5), [2.5, 3.5]),
        ("add_", () => V(1, 2).add_(V(3, 5), -1), [-2, -3]),
        ("sub", () => V(1, 2).sub(V(3, 5)).sub(1), [-3, -4]),
        ("sub_", () => V(1, 2).sub_(V(3, 5)).sub_(1), [-3, -4]),
        ("mul", () => V(1, 2).mul(V(3, 5)).mul(2), [6, 20]),
        ("mul_", () => V(1, 2).mul_(V(3, 5)).mul_(2), [6, 20]),
        ("div", () => V(1, 2).div(V(4, 5)).div(2), [0.125, 0.2]),
        ("div_", () => V(1, 2).div_(V(4, 5)).div_(2), [0.125, 0.2]),
        ("addmm_", () => tensor<float>([1, 2, 3, 4], 2, 2).addmm_(tensor<float>([1, 0, 1, 1], 2, 2), tensor<float>([2, 3, 4, 5], 2, 2), 2, 3).flatten(), [8, 13, 24, 32]),
        ("addcmul_", () => V(1, 2).addcmul_(V(3, 4), V(5, 6), 2), [31, 50]),
        ("addcdiv_", () => V(1, 2).addcdiv_(V(3, 4), V(4, 8), 2), [2.5, 3]),
        ("lerp_", () => V(1, 2).lerp_(V(3, 6), 0.25), [1.5, 3]),
        ("op_Addition", () => (V(1) + V(2)) + 3 + (4 + V(5)), [15]),
        ("op_Subtraction", () => (V(1) - V(2)) - 3 + (4 - V(5)), [-5]),
        ("op_Multiply", () => V(2) * V(3) * 4 * (5 * V(6)), [720]),
        ("op_Division", () => V(2) / V(4) / 2 + 1 / V(4), [0.5]),
        ("op_UnaryNegation", () => -V(2), [-2]),
        ("floor_divide", () => I(7, -7).floor_divide(I(2, 2)), [3, -4]),
        ("remainder", () => I(7, -7).remainder(3), [1, 2]),
        ("neg", () => V(1, -2).neg(), [-1, 2]),
        ("abs", () => V(1, -2).abs(), [1, 2]),
        ("sign", () => V(3, -2, 0).sign(), [1, -1, 0]),
        ("exp", () => V(0, 1, -2).exp(), Map(Math.Exp, 0, 1, -2)),
        ("log", () => V(1, 2, 9).log(), Map(Math.Log, 1, 2, 9)),
        ("sqrt", () => V(4, 2).sqrt(), Map(Math.Sqrt, 4, 2)),
        ("rsqrt", () => V(4, 2).rsqrt(), [0.5, 1 / Math.Sqrt(2)]),
        ("square", () => V(3, -2).square(), [9, 4]),
        ("pow", () => V(3, 4).pow(0.5), Map(Math.Sqrt, 3, 4)),
        ("cos", () => V(0, 1).cos(), Map(Math.Cos, 0, 1)),
        ("sin", () => V(0, 1).sin(), Map(Math.Sin, 0, 1)),
        ("tanh", () => V(0, 1).tanh(), Map(Math.Tanh, 0, 1)),
        ("sigmoid", () => V(0, 1).sigmoid(), Map(x => 1 / (1 + Math.Exp(-x)), 0, 1)),
        ("round", () => V(0.5f, 1.5f, -2.4f).round(), [0, 2, -2]),
        ("floor", () => V(0.5f, -2.4f).floor(), [0, -3]),
        ("reciprocal", () => V(4, -2).reciprocal(), [0.25, -0.5]),
        ("clamp", () => V(-3, 0, 3).clamp(-1, 2), [-1, 0, 2]),
        ("clamp", () => V(-3, 0, 3).clamp(min: -1), [-1, 0, 3]),
        ("clamp_", () => V(-3, 0, 3).clamp_(max: 1), [-3, 0, 1]),
        ("maximum", () => V(1, 5).maximum(V(3, 2)), [3, 5]),
        ("minimum", () => V(1, 5).minimum(V(3, 2)), [1, 2]),
        ("isfinite", () => V(1, float.NaN, float.PositiveInfinity).isfinite(), [1, 0, 0]),
        ("logical_not", () => V(1, 0).logical_not(), [0, 1]),
        ("logical_and", () => V(1, 0).logical_and(V(1, 1)), [1, 0]),
        ("logical_or", () => V(0, 0).logical_or(V(1, 0)), [1, 0]),
        ("bitwise_and", () => I(7, 12).bitwise_and(5), [5, 4]),
        ("bitwise_left_shift", () => I(1, 3).bitwise_left_shift(I(4, 1)), [16, 6]),
        ("bitwise_right_shift", () => I(16, 7).bitwise_right_shift(I(4, 1)), [1, 3]),
        ("eq", () => V(1, 2).eq(V(1, 3)).logical_or(V(1, 2).eq(2)), [1, 1]),
        ("ne", () => V(1, 2).ne(V(1, 3)).logical_and(V(1, 2).ne(1)), [0, 1]),
        ("lt", () => V(1, 2).lt(V(2, 2)).logical_and(V(1, 2).lt(2)), [1, 0]),
        ("le", () => V(1, 2).le(V(2, 1)).logical_and(V(1, 2).le(2)), [1, 0]),
        ("gt", () => V(1, 2).gt(V(2, 1)).logical_and(V(1, 2).gt(1)), [0, 1]),
        ("ge", () => V(1, 2).ge(V(2, 1)).logical_and(V(1, 2).ge(2)), [0, 1]),

        ("view", () => M.view(3, 2).select(0, 1), [3, 4]),
        ("view", () => V(1).view(ScalarType.Int32), [0x3F800000]),
        ("reshape", () => M.transpose(0, 1).reshape(-1), [1, 4, -2, 5, 3, -6]),
        ("transpose", () => M.transpose(0, 1).select(0, 2), [3, -6]),
        ("permute", () => M.permute(1, 0).select(0, 2), [3, -6]),
        ("t", () => M.t().select(0, 2), [3, -6]),
        ("contiguous", () => M.t().contiguous().view(-1), [1, 4, -2, 5, 3, -6]),
        ("unsqueeze", () => V(1, 2).unsqueeze(1).expand(2, 2).reshape(-1), [1, 1, 2, 2]),
        ("squeeze", () => M.narrow(0, 1, 1).squeeze(0), [4, 5, -6]),
        ("expand", () => V(1, 2).expand(2, -1).reshape(-1), [1, 2, 1, 2]),
        ("flatten", () => M.flatten(), [1, -2, 3, 4, 5, -6]),
        ("narrow", () => M.narrow(1, 1, 2).flatten(), [-2, 3, 5, -6]),
        ("slice", () => M.slice(1, 0, null, 2).flatten(), [1, 3, 4, -6]),
        ("select", () => M.select(1, 0), [1, 4]),
        ("split", () => M.split(2, 1)[1].flatten(), [3, -6]),
        ("split", () => M.split([1, 2], 1)[1].flatten(), [-2, 3, 5, -6]),
        ("chunk", () => M.chunk(3, 1)[1].flatten(), [-2, 5]),
        ("unbind", () => M.unbind(1)[2], [3, -6]),
        ("index_select", () => M.index_select(1, I(2, 0)).flatten(), [3, 1, -6, 4]),
        ("index", () => M.index(null, I(2)).flatten(), [3, -6]),
        ("index", () => M.index(I(0, 1), I(1, 2)), [-2, -6]),
        ("gather", () => M.gather(1, I(2, 0).view(2, 1)).flatten(), [3, 4]),
        ("scatter_", () => zeros([3]).scatter_(0, I(2, 0), V(5, 6)), [6, 0, 5]),
        ("scatter_add_", () => ones([2]).scatter_add_(0, I(1, 1), V(5, 6)), [1, 12]),
        ("index_copy_", () => zeros([3]).index_copy_(0, I(2, 0), V(5, 6)), [6, 0, 5]),
        ("masked_fill", () => V(1, 2).masked_fill(V(1, 2).gt(1), 9), [1, 9]),
        ("masked_fill_", () => V(1, 2).masked_fill_(V(1, 2).gt(1), 9), [1, 9]),
        ("repeat", () => V(1, 2).repeat(2), [1, 2, 1, 2]),
        ("repeat_interleave", () => V(1, 2).repeat_interleave(2, 0), [1, 1, 2, 2]),
        ("flip", () => V(1, 2, 3).flip(0), [3, 2, 1]),
        ("roll", () => V(1, 2, 3).roll(1, 0), [3, 1, 2]),
        ("tril", () => ones([2, 3]).tril().flatten(), [1, 0, 0, 1, 1, 0]),
        ("triu", () => ones([2, 3]).triu(1).flatten(), [0, 1, 1, 0, 0, 1]),
        ("diagonal", () => M.diagonal(), [1, 5]),
        ("detach", () => V(1).requires_grad_().detach(), [1]),
        ("clone", () => V(1, 2).clone().add_(1), [2, 3]),
        ("copy_", () => V(1, 2).copy_(V(7, 8)), [7, 8]),
        ("zero_", () => V(1, 2).zero_(), [0, 0]),
        ("fill_", () => V(1, 2).fill_(3), [3, 3]),
        ("to", () => V(1.9f).to(ScalarType.Int32), [1]),
        ("to", () => V(2).to(Device.CPU).to(Device.CPU, ScalarType.Float64), [2]),
        ("normal_", () => zeros([3]).normal_(5, 0), [5, 5, 5]),
        ("uniform_", () => zeros([1000]).uniform_(2, 3).floor().amax(0), [2]),

        ("sum", () => M.sum(), [5]),
        ("sum", () => M.sum(1), [2, 3]),
        ("mean", () => M.mean(), [5 / 6.0]),
        ("mean", () => M.mean(1, true).flatten(), [2 / 3.0, 1]),
        ("max", () => M.max(), [5]),
        ("min", () => M.min(), [-6]),
        ("amax", () => M.amax(1), [3, 5]),
        ("amin", () => M.amin(0), [1, -2, -6]),
        ("argmax", () => M.argmax(1), [2, 1]),
        ("argmin", () => M.argmin(1), [1, 2]),
        ("norm", () => V(3, 4).norm(), [5]),
        ("var", () => V(1, 3).var(0), [1]),
        ("all", () => V(1, 0).all(), [0]),
        ("any", () => V(1, 0).any(), [1]),
        ("cumsum", () => V(1, 2, 3).cumsum(0), [1, 3, 6]),
        ("logsumexp", () => V(1, 2).logsumexp(0), [Math.Log(Math.E + Math.Exp(2))]),
        ("sort", () => cat([V(3, 1, 2).sort().Values, V(3, 1, 2).sort(0, true).Indices.to(ScalarType.Float32)]), [1, 2, 3, 0, 2, 1]),
        ("topk", () => V(3, 1, 2).topk(2).Indices, [0, 2]),
        ("matmul", () => M.matmul(V(1, 2, 3)), [6, -4]),
        ("matmul", () => matmul(M, M.t()).flatten(), [14, -24, -24, 77]),
        ("bmm", () => M.unsqueeze(0).bmm(M.t().unsqueeze(0)).flatten(), [14, -24, -24, 77]),

        ("empty", () => empty([2]).fill_(1), [1, 1]),
        ("zeros", () => zeros([2]), [0, 0]),
        ("ones", () => ones([2], ScalarType.Int64), [1, 1]),
        ("full", () => full([2], 7.5), [7.5, 7.5]),
        ("scalar", () => scalar(3), [3]),
        ("tensor", () => tensor([1.5, 2.5]), [1.5, 2.5]),
        ("from_array", () => from_array([1, 2], 2, 1).flatten(), [1, 2]),
        ("arange", () => arange(1, 6, 2, ScalarType.Int64), [1, 3, 5]),
        ("empty_like", () => empty_like(V(1, 2)).fill_(4), [4, 4]),
        ("zeros_like", () => zeros_like(V(1, 2)), [0, 0]),
        ("ones_like", () => ones_like(V(1, 2)), [1, 1]),
        ("randn", () => randn([10000], new Generator(3)).var(0).round(), [1]),
        ("rand", () => rand([10000], new Generator(3)).mean().mul(10).round(), [5]),
        ("randint", () => randint(5, 6, [2]), [5, 5]),
        ("cat", () => cat([V(1), V(2, 3)]), [1, 2, 3]),
        ("stack", () => stack([V(1, 2), V(3, 4)], 1).flatten(), [1, 3, 2, 4]),
        ("where", () => where(V(1, 2).gt(1), V(5, 6), V(7, 8)), [7, 6]),
        ("outer", () => outer(V(1, 2), V(3, 4)).flatten(), [3, 4, 6, 8]),
        ("einsum", () => einsum("ij,ij->i", M, M), [14, 77]),
        ("searchsorted", () => searchsorted(V(1, 3, 5), V(3, 6)), [1, 3]),
        ("searchsorted", () => searchsorted(V(1, 3, 5), V(3, 6), true), [2, 3]),
        ("multinomial", () => multinomial(V(0, 1, 0), 3, true), [1, 1, 1]),
        ("dropout", () => dropout(V(2, 3), 0.5, false), [2, 3]),

        ("cholesky", () => linalg.cholesky(tensor<float>([4, 2, 2, 5], 2, 2)).flatten(), [2, 0, 1, 2]),
        ("cholesky_ex", () => linalg.cholesky_ex(tensor<float>([4, 2, 2, 5], 2, 2), true).Factor.flatten(), [2, 1, 0, 2]),
        ("cholesky_ex", () => linalg.cholesky_ex(tensor<float>([1, 2, 2, 1], 2, 2)).Info, [2]),
        ("cholesky_solve", () => linalg.cholesky_solve(tensor<float>([8, 9], 2, 1), tensor<float>([2, 0, 1, 2], 2, 2)).flatten(), [1.375, 1.25]),
        ("cholesky_inverse", () => linalg.cholesky_inverse(tensor<float>([2, 0, 1, 2], 2, 2)).flatten(), [5 / 16.0, -1 / 8.0, -1 / 8.0, 1 / 4.0]),
        ("solve", () => linalg.solve(tensor<float>([2, 0, 0, 4], 2, 2), V(2, 2)), [1, 0.5]),
        ("inv", () => linalg.inv(tensor<float>([2, 0, 0, 4], 2, 2)).flatten(), [0.5, 0, 0, 0.25]),

        ("linear", () => F.linear(V(1, 2, 3), M, V(1, 1)), [7, -3]),
        ("embedding", () => F.embedding(I(1), M).flatten(), [4, 5, -6]),
        ("layer_norm", () => F.layer_norm(V(1, 3), [2], V(2, 2), V(1, 1), 0), [-1, 3]),
        ("silu", () => F.silu(V(1)), Map(x => x / (1 + Math.Exp(-x)), 1)),
        ("relu", () => F.relu(V(1, -1)), [1, 0]),
        ("gelu", () => F.gelu(V(1)), [0.8413447460685429]),
        ("gelu", () => F.gelu(V(1), "tanh"), [0.5 * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * 1.044715))]),
        ("softmax", () => F.softmax(V(0, 0), 0), [0.5, 0.5]),
        ("log_softmax", () => F.log_softmax(V(0, 0), 0), [-Math.Log(2), -Math.Log(2)]),
        ("cross_entropy", () => F.cross_entropy(zeros([2, 4]), I(1, 2)), [Math.Log(4)]),
        ("mse_loss", () => F.mse_loss(V(1, 2), V(3, 2)), [2]),
        ("pad", () => F.pad(V(1, 2), [1, 2], 9), [9, 1, 2, 9, 9]),
    ];

    [Fact]
    public void Every_operator_gives_its_values()
    {
        foreach (var (name, run, expected) in s_cases)
        {
            using var scope = NewDisposeScope();
            var actual = run().to(ScalarType.Float64).flatten().to_array<double>();
            actual.Length.ShouldBe(expected.Length, name);
            for (var k = 0; k < expected.Length; k++)
                actual[k].ShouldBe(expected[k], Tolerance * Math.Max(1, Math.Abs(expected[k])), $"{name}[{k}]");
        }
    }

    [Fact]
    public void No_operator_is_without_a_case()
    {
        string[] elsewhere = ["mm", "scaled_dot_product_attention", "_foreach_add", "_foreach_mul", "_foreach_mul_", "_foreach_norm", "_foreach_copy_", "NewDisposeScope", "no_grad", "enable_grad", "is_grad_enabled", "get_num_threads", "set_num_threads", "slow_blas", "from_blob",
            "stride", "size", "dim", "numel", "is_contiguous", "data_ptr", "data", "to_array", "item", "item_int64", "requires_grad_", "backward",
            "DetachFromDisposeScope", "MoveToOuterDisposeScope", "Save", "Describe", "ToString", "Dispose"];
        var facade = new[] { typeof(Tensor), typeof(torch), typeof(linalg), typeof(F) }
            .SelectMany(t => t.GetMethods(BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly))
            .Where(m => !m.IsSpecialName || m.Name.StartsWith("op_", StringComparison.Ordinal))
            .Select(m => m.Name).Distinct();
        facade.Except(s_cases.Select(c => c.Name)).Except(elsewhere).ShouldBeEmpty();
    }
}
