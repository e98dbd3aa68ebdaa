"""What a sweep's numbers say, and how surely: pairs, intervals, exact tests, rates and the verdict. Without torch."""
