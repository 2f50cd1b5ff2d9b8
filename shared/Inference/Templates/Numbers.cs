using System.Text;

namespace Qbb.Inference.Templates;

/// <summary>Python's arithmetic: integers stay integers but for /, // and % round down; + also joins texts and lists, * repeats them, % formats.</summary>
internal static class Numbers
{
    public static bool IsNumber(object? value) => value is long or double or bool;

    public static int Order(object? left, object? right)
    {
        if (left is not double && right is not double)
            return Whole(left).CompareTo(Whole(right));
        var (a, b) = (Real(left), Real(right));
        return double.IsNaN(a) || double.IsNaN(b) ? 2 : a.CompareTo(b);
    }

    public static double Real(object? value) => value is double real ? real : Whole(value);

    public static object? Apply(string name, object? left, object? right, RenderContext context, int line)
    {
        if (name == "~")
            return Joined(Values.Text(left), Values.Text(right), context, line);
        switch (name, left, right)
        {
            case ("+", string a, string b):
                return Joined(a, b, context, line);
            case ("+", Sequence a, Sequence b) when a.IsTuple == b.IsTuple:
                context.Check(a.Items.Count + b.Items.Count, line);
                return new Sequence([.. a.Items, .. b.Items], a.IsTuple);
            case ("*", string or Sequence, long or bool):
                return Repeated(left, Whole(right), context, line);
            case ("*", long or bool, string or Sequence):
                return Repeated(right, Whole(left), context, line);
            case ("%", string format, _):
                return Formatting.Apply(format, right is Sequence { IsTuple: true } all ? all.Items : [right], context, line);
        }
        if (!IsNumber(left) || !IsNumber(right))
        {
            throw new TemplateException(left is Undefined or { } and not string && right is Undefined || left is Undefined
                ? $"{((left as Undefined) ?? (Undefined)right!).Name} is undefined" : $"{name} does not go with {Values.TypeOf(left)} and {Values.TypeOf(right)}", line);
        }
        try
        {
            return left is double || right is double || name == "/" || (name == "**" && Whole(right) < 0) ? Floats(name, Real(left), Real(right), line) : Integers(name, Whole(left), Whole(right), line);
        }
        catch (OverflowException)
        {
            throw new TemplateException($"the result of {name} is too large", line);
        }
    }

    private static long Whole(object? value) => value is bool flag ? flag ? 1 : 0 : (long)value!;

    private static object Integers(string name, long a, long b, int line)
    {
        checked
        {
            switch (name)
            {
                case "+":
                    return a + b;
                case "-":
                    return a - b;
                case "*":
                    return a * b;
                case "**":
                    var power = 1L;
                    for (var k = 0L; k < b && power is not 0 and not 1 || k == 0 && b > 0; k++)
                        power *= a;
                    return a == -1 ? b % 2 == 0 ? 1L : -1L : power;
                default:
                    if (b == 0)
                        throw new TemplateException("division by zero", line);
                    var rest = b == -1 ? 0 : a % b;
                    var isBelow = rest != 0 && rest < 0 != b < 0;
                    return name == "%" ? isBelow ? rest + b : rest : a / b - (isBelow ? 1 : 0);
            }
        }
    }

    private static object Floats(string name, double a, double b, int line)
    {
        if (b == 0 && name is "/" or "//" or "%" && b == 0)
            throw new TemplateException("division by zero", line);
        return name switch
        {
            "+" => a + b,
            "-" => a - b,
            "*" => a * b,
            "/" => a / b,
            "//" => Math.Floor(a / b),
            "**" => Math.Pow(a, b),
            _ => a - b * Math.Floor(a / b),
        };
    }

    private static string Joined(string a, string b, RenderContext context, int line)
    {
        context.Check((long)a.Length + b.Length, line);
        return a + b;
    }

    private static object Repeated(object? value, long times, RenderContext context, int line)
    {
        times = Math.Max(0, times);
        var length = value is string text ? text.Length : ((Sequence)value!).Items.Count;
        if (length > 0)
            context.Check(times > int.MaxValue ? long.MaxValue : times * length, line);
        return value is string part ? length == 0 ? "" : new StringBuilder().Insert(0, part, (int)times).ToString()
            : new Sequence([.. Enumerable.Repeat(((Sequence)value!).Items, length == 0 ? 0 : (int)times).SelectMany(items => items)], ((Sequence)value).IsTuple);
    }
}
