using Qbb.Evaluator;
using Qbb.Hosting;

return await ServiceHost.RunAsync(args, "evaluator", "http://127.0.0.1:8083", builder => builder.AddEvaluator());
