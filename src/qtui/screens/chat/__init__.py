"""The Chat screen: talk to a model, compare two, judge what they say."""
