"""What a data source is. (Contract to be completed with the data layer.)"""
